from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peers.accuracy import accuracy

REFERENCE = np.random.default_rng(3).standard_normal((8, 1000)).astype(np.float32)


def test_the_same_answers_agree_entirely() -> None:
    found = accuracy(REFERENCE, REFERENCE)
    assert found.cosine == pytest.approx(1)
    assert found.difference_cosine == pytest.approx(1)
    assert found.top1 == 1


def test_what_softmax_ignores_is_ignored() -> None:
    shifted = REFERENCE + np.arange(8, dtype=np.float32)[:, None]
    assert accuracy(shifted, REFERENCE).cosine == pytest.approx(1)
    assert accuracy(shifted, REFERENCE).difference_cosine < 0.9


def test_what_all_images_share_does_not_hide_errors() -> None:
    shared = 10 * np.random.default_rng(4).standard_normal(1000).astype(np.float32)
    noise = np.random.default_rng(5).standard_normal((8, 1000)).astype(np.float32)
    found = accuracy(REFERENCE + shared + noise, REFERENCE + shared)
    assert found.cosine > 0.99
    assert found.difference_cosine < 0.8


def test_top1_counts_images() -> None:
    answers = REFERENCE.copy()
    answers[0, answers[0].argmin()] = 100
    assert accuracy(answers, REFERENCE).top1 == 7 / 8


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        accuracy(REFERENCE[:, :10], REFERENCE)
    with pytest.raises(ValueError, match="finite"):
        accuracy(REFERENCE * np.float32(np.nan), REFERENCE)


def test_constant_answers_have_no_cosine() -> None:
    assert accuracy(np.ones_like(REFERENCE), REFERENCE).cosine == 0
