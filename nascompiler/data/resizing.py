"""Images at another size, by whole factors: averages of blocks when smaller, repeated pixels when larger."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.dataset import Dataset, Images, Split
from nascompiler.data.errors import DataError


def resized(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """uint8 [N, side, side, C] -> [N, size, size, C]; one of the two sizes is a multiple of the other."""
    count, side, _, channels = images.shape
    if size == side:
        return images
    if size > side:
        return images.repeat(size // side, axis=1).repeat(size // side, axis=2)
    factor = side // size
    blocks = images.reshape(count, size, factor, size, factor, channels)
    averages: NDArray[np.float32] = blocks.mean((2, 4), dtype=np.float32)
    return np.rint(averages).astype(np.uint8)


def size_fault(height: int, width: int, size: int) -> str | None:
    """Why images height x width cannot be brought to size x size; None when they can."""
    if height == width and (height % size == 0 or size % height == 0):
        return None
    parts = [d for d in range(1, height + 1) if height % d == 0] if height == width else []
    accepted = f"{', '.join(map(str, parts))} and multiples of {height}" if parts else "none: they are not square"
    return f"images of {height}x{width} cannot be brought to {size}x{size}; accepted sizes: {accepted}"


def resized_dataset(data: Dataset, size: int) -> Dataset:
    """The data with all images at this size, made when they are indexed; raises DataError where that cannot be."""
    height, width = data.train.images.shape[1:3]
    fault = size_fault(height, width, size)
    if fault:
        raise DataError(f"{data.name}: {fault}")
    splits = (_resized_split(split, size) for split in (data.train, data.held_out, data.test))
    return Dataset(data.name, data.classes, *splits)


def _resized_split(split: Split, size: int) -> Split:
    return Split(_Resized(split.images, size), split.labels, split.normalization)


class _Resized:
    def __init__(self, images: Images, size: int) -> None:
        self._images, self._size = images, size

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self._images), self._size, self._size, self._images.shape[-1]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[np.uint8]:
        return resized(self._images[index], self._size)
