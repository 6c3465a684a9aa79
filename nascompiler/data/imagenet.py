"""ImageNet, or any images sorted into a folder for each class: read and cropped when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.data.splitting import stratified

SIDE, SHORTER_SIDE = 224, 256
SUFFIXES = frozenset({".jpeg", ".jpg", ".png"})
HELD_OUT_PART = 0.02

_NORMALIZATION = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class ImageFiles:
    """Images in files as 8-bit arrays [N, 224, 224, 3], NHWC, RGB."""

    paths: Sequence[Path]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 224, 224, 3)."""
        return len(self.paths), SIDE, SIDE, 3

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images at these indices; raises DataError for a file that is no image."""
        images = np.empty((len(index), SIDE, SIDE, 3), np.uint8)
        for place, number in enumerate(index):
            images[place] = centre_crop(self.paths[number])
        return images


def centre_crop(path: Path) -> NDArray[np.uint8]:
    """The middle of an image [224, 224, 3], RGB, after its shorter side was brought to 256 pixels (bilinear).

    Raises DataError where pillow is missing or cannot read the file.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError("reading images needs pillow: run `pip install 'nascompiler[data]'`") from error
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image {path}: {error}") from None
    factor = SHORTER_SIDE / min(image.size)
    width, height = (max(SIDE, round(side * factor)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    return np.asarray(image.crop((left, top, left + SIDE, top + SIDE)))


def load_imagenet(folder: Path, seed: int = 0) -> Dataset:
    """`folder/train` and `folder/val`, each with a folder of .jpeg, .jpg or .png files for each class.

    Classes are the names of these folders, sorted. The images in val are the test set; a fiftieth of each class in
    train, by seed, is held out. Raises DataError naming what is missing.
    """
    classes = _classes(folder / "train")
    if unknown := sorted(set(_classes(folder / "val")) - set(classes)):
        raise DataError(f"{folder / 'val'} has classes that train has not: {', '.join(unknown[:10])}")
    paths, labels = _files(folder / "train", classes)
    held_out, train = stratified(labels, [HELD_OUT_PART], seed)
    return Dataset(
        "imagenet",
        classes,
        _split([paths[index] for index in train], labels[train]),
        _split([paths[index] for index in held_out], labels[held_out]),
        _split(*_files(folder / "val", classes)),
    )


def _split(paths: Sequence[Path], labels: NDArray[np.int64]) -> Split:
    return Split(ImageFiles(paths), labels, _NORMALIZATION)


def _classes(folder: Path) -> tuple[str, ...]:
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    if not found:
        raise DataError(f"{folder} has no folders; accepted: train/ and val/ with a folder of images for each class")
    return tuple(found)


def _files(folder: Path, classes: Sequence[str]) -> tuple[list[Path], NDArray[np.int64]]:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        inside = folder / name
        found = sorted(p for p in inside.iterdir() if p.suffix.lower() in SUFFIXES) if inside.is_dir() else []
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise DataError(f"no images in {folder}; accepted: .jpeg, .jpg and .png in a folder for each class")
    return paths, np.asarray(labels, np.int64)
