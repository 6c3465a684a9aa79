"""What every data set of labelled images looks like: three splits of 8-bit images, their classes, one preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.errors import DataError

Labels = NDArray[np.int64]


class Images(Protocol):
    """8-bit images [N, H, W, C], NHWC, RGB: an array, a mapped file, or files that are read when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[np.uint8]:
        """The images at these indices, in their order."""


@dataclass(frozen=True)
class Normalization:
    """The whole preprocessing of a data set: (x / 255 - mean) / deviation, by channel, in float32."""

    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [..., C] -> float32 [..., C]."""
        scale = np.asarray([1 / (255 * deviation) for deviation in self.deviation], np.float32)
        offset = np.asarray([-m / d for m, d in zip(self.mean, self.deviation, strict=True)], np.float32)
        normalized = images.astype(np.float32)
        normalized *= scale
        normalized += offset
        return normalized


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, H, W, C] and the indices of their classes, int64 [N]."""

    images: Images
    labels: Labels
    normalization: Normalization

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images and {len(self.labels)} labels; accepted: as many of both")

    def __len__(self) -> int:
        return len(self.labels)

    def head(self, count: int) -> Split:
        """The first `count` examples, or all if there are fewer."""
        chosen = np.arange(min(count, len(self)))
        return Split(self.images[chosen], self.labels[chosen], self.normalization)

    def batches(self, size: int, seed: int | None = None) -> Iterator[tuple[NDArray[np.float32], Labels]]:
        """Preprocessed images [size, H, W, C] and labels [size], all of the split once; the last batch may be smaller.

        In the order of the split, or shuffled by `seed`. Raises ValueError when `size` is not positive.
        """
        for chosen in self.indices(size, seed):
            yield self.normalization(self.images[chosen]), self.labels[chosen]

    def indices(self, size: int, seed: int | None = None) -> Iterator[NDArray[np.int64]]:
        """Which examples stand in each of the `batches`."""
        if size < 1:
            raise ValueError(f"the size of a batch is {size}; accepted: whole numbers from 1 on")
        order = np.arange(len(self)) if seed is None else np.random.default_rng(seed).permutation(len(self))
        for start in range(0, len(order), size):
            yield order[start : start + size]


@dataclass(frozen=True)
class Dataset:
    """A labelled data set. `held_out` is for decisions made on the way, never `test`, which is for final figures."""

    name: str
    classes: tuple[str, ...]
    train: Split
    held_out: Split
    test: Split
