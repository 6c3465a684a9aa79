"""CIFAR-10 from a folder of its binary or Python batches (Krizhevsky 2009)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.cifar_pickle import read_python_batch
from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.data.splitting import stratified

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
HELD_OUT_PART = 0.1

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
_FOLDERS = ("", "cifar-10-batches-bin", "cifar-10-batches-py")
"""Where the archives put the batches, below the folder that is named."""

_NORMALIZATION = Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
"""Mean and deviation of the pixels of the training images."""

Examples = tuple[NDArray[np.uint8], NDArray[np.int64]]


def load_cifar_10(folder: Path, seed: int = 0) -> Dataset:
    """The images 32x32 in `folder`: nine tenths of the training batches to train on, a tenth of each class held out by
    seed, and the test batch.

    Takes the binary version (`data_batch_1.bin` ...), and the Python version (`data_batch_1` ...), which is read
    without unpickling. Raises DataError naming what is missing or damaged.
    """
    source = _source(folder)
    parts = [_batch(source, name) for name in TRAIN_BATCHES]
    images, labels = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    held_out, train = stratified(labels, [HELD_OUT_PART], seed)
    return Dataset(
        "cifar-10",
        CLASSES,
        Split(images[train], labels[train], _NORMALIZATION),
        Split(images[held_out], labels[held_out], _NORMALIZATION),
        Split(*_batch(source, TEST_BATCH), _NORMALIZATION),
    )


def _source(folder: Path) -> Path:
    for name in _FOLDERS:
        if any((folder / name / f"{TEST_BATCH}{suffix}").is_file() for suffix in (".bin", "")):
            return folder / name
    raise DataError(
        f"no CIFAR-10 in {folder}; accepted: the folder of the binary version ({TEST_BATCH}.bin) or of the Python "
        f"version ({TEST_BATCH}), or the one above it"
    )


def _batch(folder: Path, name: str) -> Examples:
    """Images [N, 32, 32, 3] and labels [N] of a batch."""
    binary = folder / f"{name}.bin"
    planes, labels = _binary_batch(binary) if binary.is_file() else read_python_batch(folder / name)
    if labels.size and not 0 <= labels.min() <= labels.max() < len(CLASSES):
        raise DataError(f"{folder / name}: labels go from {labels.min()} to {labels.max()}; accepted: 0 to 9")
    images = planes.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _binary_batch(path: Path) -> Examples:
    """Records of a label and 3x32x32 pixels, a byte each."""
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    record = 1 + 3 * SIDE * SIDE
    if not content.size or content.size % record:
        raise DataError(f"{path} has {content.size} bytes; accepted: a multiple of {record}, a label and an image each")
    records = content.reshape(-1, record)
    return records[:, 1:], records[:, 0].astype(np.int64)
