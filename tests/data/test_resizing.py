"""Images by whole factors larger and smaller."""

import numpy as np
import pytest

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.data.resizing import resized, resized_dataset


def test_smaller_is_the_average_of_blocks_and_larger_repeats():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    small = resized(image, 2)
    assert small[0, :, :, 0].tolist() == [[2, 4], [10, 12]]  # 2.5, 4.5, 10.5, 12.5, to even
    assert resized(small, 4)[0, 0, :, 0].tolist() == [2, 2, 4, 4]


def test_a_data_set_is_resized_when_it_is_looked_at():
    split = Split(np.zeros((3, 8, 8, 3), np.uint8), np.array([0, 1, 0]), Normalization())
    data = resized_dataset(Dataset("few", ("a", "b"), split, split, split), 16)
    assert data.train.images.shape == (3, 16, 16, 3)
    images, labels = next(data.held_out.batches(2))
    assert images.shape == (2, 16, 16, 3)
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize(("shape", "accepted"), [((8, 8), "1, 2, 4, 8 and multiples of 8"), ((8, 6), "not square")])
def test_other_sizes_are_refused(shape, accepted):
    split = Split(np.zeros((1, *shape, 3), np.uint8), np.array([0]), Normalization())
    with pytest.raises(DataError, match=accepted):
        resized_dataset(Dataset("few", ("a", "b"), split, split, split), 12)
