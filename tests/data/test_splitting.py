"""Stratified splits: every example once, every class in proportion, the same for the same seed."""

import numpy as np
import pytest

from nascompiler.data.splitting import stratified


def test_every_class_is_cut_in_proportion():
    labels = np.array([0] * 10 + [1] * 20 + [2] * 5)
    held_out, test, train = stratified(labels, [0.2, 0.4], seed=3)
    assert [np.bincount(labels[part]).tolist() for part in (held_out, test, train)] == [[2, 4, 1], [4, 8, 2], [4, 8, 2]]
    assert sorted(np.concatenate([held_out, test, train]).tolist()) == list(range(35))


def test_the_seed_decides():
    labels = np.repeat(np.arange(3), 30)
    first, same, other = (stratified(labels, [0.5], seed)[0].tolist() for seed in (1, 1, 2))
    assert first == same != other


def test_no_examples_give_empty_parts():
    assert [part.shape for part in stratified(np.zeros(0, np.int64), [0.5])] == [(0,), (0,)]


@pytest.mark.parametrize("parts", [[0.6, 0.6], [-0.1]])
def test_impossible_parts_are_refused(parts):
    with pytest.raises(ValueError, match="at most 1"):
        stratified(np.zeros(4, np.int64), parts)
