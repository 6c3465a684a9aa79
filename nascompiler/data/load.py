"""Data sets by name: `load_dataset("glyphs-62")`, `load_dataset("cifar-10:FOLDER")`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nascompiler.data.cifar import load_cifar_10
from nascompiler.data.dataset import Dataset
from nascompiler.data.digits import load_digits, load_mnist_5k
from nascompiler.data.errors import DataError
from nascompiler.data.glyphs_62 import load_glyphs_62
from nascompiler.data.imagenet import load_imagenet
from nascompiler.ir.errors import UsageError, unknown

MADE: dict[str, Callable[[int], Dataset]] = {
    "digits": load_digits,
    "glyphs-62": load_glyphs_62,
    "mnist-5k": load_mnist_5k,
}
"""Data sets that need no folder, as functions of a seed."""

FROM_FOLDER: dict[str, Callable[[Path, int], Dataset]] = {
    "cifar-10": load_cifar_10,
    "imagenet": load_imagenet,
}
"""Data sets in a folder of the user's, as functions of the folder and a seed."""


def names() -> list[str]:
    """What `load_dataset` takes, `NAME:FOLDER` where a folder is needed."""
    return sorted([*MADE, *(f"{name}:FOLDER" for name in FROM_FOLDER)])


def load_dataset(name: str, *, seed: int = 0) -> Dataset:
    """A data set by name, `NAME` or `NAME:FOLDER`.

    The seed decides what is drawn, or which images are held out. Raises UsageError for an unknown name and a missing
    or needless folder, DataError where the data are missing or damaged.
    """
    known, colon, folder = name.partition(":")
    if known in MADE:
        if colon:
            raise UsageError(f"{known} is made here and takes no folder; accepted: {known}")
        return MADE[known](seed)
    if known not in FROM_FOLDER:
        raise unknown("data set", known, names())
    if not folder:
        raise UsageError(f"{known} is read from a folder; accepted: {known}:FOLDER")
    if not Path(folder).is_dir():
        raise DataError(f"{known}: there is no folder {folder}")
    return FROM_FOLDER[known](Path(folder), seed)
