"""The digits of two packages, split by seed."""

import gzip
import importlib.util

import numpy as np
import pytest

from nascompiler.data import digits
from nascompiler.data.errors import DataError


@pytest.mark.parametrize(
    ("load", "side", "counts"),
    [(digits.load_mnist_5k, 28, (3000, 1000, 1000)), (digits.load_digits, 8, (1078, 359, 360))],
)
def test_counts_shapes_and_proportions(load, side, counts):
    data = load()
    splits = (data.train, data.held_out, data.test)
    assert tuple(len(split) for split in splits) == counts
    assert data.classes == tuple("0123456789")
    for split in splits:
        assert split.images.shape == (len(split), side, side, 3)
        assert np.bincount(split.labels).min() > 0.08 * len(split)
    images = data.test.images[np.arange(len(data.test))]
    assert images.dtype == np.uint8
    assert images.max() == 255
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


def test_the_splits_share_no_image_and_depend_on_the_seed():
    first, other = digits.load_mnist_5k(0), digits.load_mnist_5k(1)
    rows = [
        split.images[np.arange(len(split))][..., 0].tobytes()[start : start + 784]
        for split in (first.train, first.held_out, first.test)
        for start in range(0, len(split) * 784, 784)
    ]
    assert len(set(rows)) == 5000
    assert not np.array_equal(first.test.images[np.arange(9)], other.test.images[np.arange(9)])


def test_the_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    source = datasets.load_digits()
    data = digits.load_digits()
    expected = {
        (np.rint(image * 255 / 16).astype(np.uint8).tobytes(), int(label))
        for image, label in zip(source.images, source.target, strict=True)
    }
    images = data.test.images[np.arange(360)][..., 0]
    assert {(image.tobytes(), int(label)) for image, label in zip(images, data.test.labels, strict=True)} <= expected


@pytest.mark.parametrize("load", [digits.load_mnist_5k, digits.load_digits])
def test_a_missing_package_is_named_with_its_remedy(load, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install --no-deps"):
        load()


@pytest.mark.parametrize(
    "content",
    [b"not gzip", gzip.compress(b"1,2,x\n"), gzip.compress(b"1,2,3\n"), gzip.compress(b"1" * 9999)[:20]],
    ids=["not gzip", "not a number", "too few columns", "cut off"],  # gzip's header holds the time: not for a name
)
def test_a_damaged_table_is_named(content, tmp_path, monkeypatch):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr(digits, "package_file", lambda *args, **options: path)
    with pytest.raises(DataError, match=r"digits\.csv\.gz"):
        digits.load_digits()
