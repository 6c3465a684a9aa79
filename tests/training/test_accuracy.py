"""Accuracy of any function of images."""

import numpy as np
import pytest

pytest.importorskip("torch")

from nascompiler.data.dataset import Normalization, Split
from nascompiler.training.accuracy import evaluate_accuracy, predictions


@pytest.fixture
def split():
    images = (np.arange(7, dtype=np.uint8) * 10)[:, None, None, None] * np.ones((1, 1, 1, 3), np.uint8)
    return Split(images, np.array([0, 1, 2, 0, 1, 2, 0]), Normalization())


def logits(images):
    """Class k for the pixel value 10 * k, modulo 3."""
    value = np.rint((images[:, 0, 0, 0] + 1) * 12.75).astype(int)
    return np.eye(3)[value % 3]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_largest_logit_is_the_prediction(split, batch_size):
    assert predictions(logits, split, batch_size=batch_size).tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert evaluate_accuracy(logits, split, batch_size=batch_size) == 1
    assert evaluate_accuracy(lambda x: -logits(x), split) == 0


def test_an_empty_split_has_no_accuracy(split):
    assert predictions(logits, split.head(0)).shape == (0,)
    with pytest.raises(ValueError, match="at least one image"):
        evaluate_accuracy(logits, split.head(0))
