"""Glyphs are what they say, always the same, each depending on its own number only."""

import sys

import numpy as np
import pytest

from nascompiler.data.errors import DataError
from nascompiler.data.glyphs import CLASSES, MIN_CONTRAST, SPLITS, glyphs
from nascompiler.ir.errors import UsageError


def test_shape_type_and_classes():
    images, labels = glyphs(40)
    assert images.shape == (40, 64, 64, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert len(CLASSES) == len(set(CLASSES)) == 62
    assert 0 <= labels.min() <= labels.max() < 62
    assert len(set(labels.tolist())) > 15


def test_every_image_shows_something():
    images, _ = glyphs(20)
    assert images.reshape(20, -1).std(axis=1).min() > 3
    assert MIN_CONTRAST > 0


@pytest.mark.parametrize("split", SPLITS)
def test_an_image_depends_on_seed_split_and_number_only(split):
    images, labels = glyphs(6, split, seed=5)
    later, later_labels = glyphs(3, split, seed=5, start=3)
    np.testing.assert_array_equal(images[3:], later)
    np.testing.assert_array_equal(labels[3:], later_labels)


def test_splits_and_seeds_differ():
    drawn = [glyphs(2, split, seed)[0].tobytes() for split in SPLITS for seed in (0, 1)]
    assert len(set(drawn)) == len(drawn)


def test_no_glyphs_are_an_empty_batch():
    images, labels = glyphs(0)
    assert images.shape == (0, 64, 64, 3)
    assert labels.shape == (0,)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        glyphs(-1)
    with pytest.raises(UsageError, match="accepted: held_out, test or train"):
        glyphs(1, "validation")


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"nascompiler\[data\]"):
        glyphs(1)
