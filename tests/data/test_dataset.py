"""Splits give every example once, preprocessed, in order or shuffled by a seed."""

import numpy as np
import pytest

from nascompiler.data.dataset import Normalization, Split
from nascompiler.data.errors import DataError


def make_split(count: int) -> Split:
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    return Split(images, np.arange(count), Normalization())


def test_normalization_is_the_documented_formula():
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    normalization = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    result = normalization(images)
    expected = (images / 255 - np.array(normalization.mean)) / np.array(normalization.deviation)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_batches_in_order():
    batches = list(make_split(5).batches(2))
    assert [labels.tolist() for _, labels in batches] == [[0, 1], [2, 3], [4]]
    assert batches[0][0].shape == (2, 2, 2, 3)
    np.testing.assert_allclose(batches[1][0][0], 2 / 127.5 - 1, atol=1e-6)


def test_shuffled_batches_hold_every_example_once_and_depend_on_the_seed():
    split = make_split(50)
    first, same, other = ([y for _, ys in split.batches(8, seed) for y in ys] for seed in (1, 1, 2))
    assert sorted(first) == list(range(50))
    assert first == same != other
    for images, labels in split.batches(8, 1):
        np.testing.assert_allclose((images[:, 0, 0, 0] + 1) * 127.5, labels, atol=1e-4)


def test_head():
    split = make_split(5)
    assert split.head(3).labels.tolist() == [0, 1, 2]
    assert len(split.head(99)) == 5


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="5 images and 4 labels"):
        Split(make_split(5).images, np.arange(4), Normalization())
    with pytest.raises(ValueError, match="size of a batch is 0"):
        list(make_split(5).batches(0))
