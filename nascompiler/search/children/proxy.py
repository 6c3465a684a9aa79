"""A cheap task that stands for the real one: smaller images, fewer of them, fewer classes, a smaller network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.dataset import Dataset, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.ir.errors import UsageError, choices_text, unknown
from nascompiler.training.colour import colour_contrast
from nascompiler.training.recipe import Recipe

COLOURS = ("given", "contrast")
_CHUNK = 1000


@dataclass(frozen=True)
class Proxy:
    """What of a data set children are trained on, what of an architecture, and how.

    Images lose `crop` pixels at each side, are averaged down to `resolution` (which divides what is left; 0: as they
    are), and keep their colours (`given`) or become their `contrast`, see `colour_contrast`. Of the data set the first
    `classes` remain, and of these the first `train_images` and `held_out_images` (0: all). `width` multiplies the
    channels of a child; `cells` bounds the repeats of each stack of cells (0: as the architecture has them).
    """

    resolution: int = 0
    crop: int = 0
    colour: str = "given"
    classes: int = 0
    train_images: int = 0
    held_out_images: int = 0
    width: float = 1.0
    cells: int = 0
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=3))

    def __post_init__(self) -> None:
        for name in ("resolution", "crop", "classes", "train_images", "held_out_images", "cells"):
            if getattr(self, name) < 0:
                raise UsageError(f"proxy: {name} is {getattr(self, name)}; accepted: whole numbers from 0 on")
        if self.classes == 1:
            raise UsageError("proxy: classes is 1; accepted: whole numbers from 2 on, or 0 for all")
        if not 0 < self.width <= 1:
            raise UsageError(f"proxy: width is {self.width:g}; accepted: numbers above 0 and up to 1")
        if self.colour not in COLOURS:
            raise UsageError(f"proxy: colour is {self.colour!r}; accepted: {choices_text(COLOURS)}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Proxy:
        """Raises UsageError for a setting that there is not, or a value that is not accepted."""
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise unknown("setting of a proxy", name, known)
        try:
            return cls(**{**data, "recipe": Recipe.from_json(data.get("recipe", {}))})
        except TypeError as error:
            raise UsageError(f"proxy: {error}") from None


def proxy_dataset(data: Dataset, proxy: Proxy) -> Dataset:
    """The part of a data set that children see, in memory. Its test split is empty: no search looks at that.

    Raises DataError, listing all reasons, when the proxy does not fit the data.
    """
    faults = proxy_faults(data, proxy)
    if faults:
        raise DataError("\n".join([f"{data.name} cannot train children:", *(f"  {fault}" for fault in faults)]))
    classes = data.classes[: proxy.classes or None]
    train = _part(data.train, len(classes), proxy.train_images, proxy)
    held_out = _part(data.held_out, len(classes), proxy.held_out_images, proxy)
    faults = [
        f"no image {purpose} is of its first {len(classes)} classes"
        for split, purpose in ((train, "to train on"), (held_out, "held out"))
        if not len(split)
    ]
    if faults:
        raise DataError("\n".join([f"{data.name} cannot train children:", *(f"  {fault}" for fault in faults)]))
    return Dataset(data.name, classes, train, held_out, held_out.head(0))


def proxy_faults(data: Dataset, proxy: Proxy) -> list[str]:
    """Everything in which proxy and data do not fit, as lines."""
    faults = []
    if len(data.classes) < 2:
        faults.append(f"it has {len(data.classes)} class; accepted: two or more")
    if proxy.classes > len(data.classes):
        faults.append(f"it has {len(data.classes)} classes, and the proxy wants {proxy.classes}")
    for name, split in (("to train on", data.train), ("held out", data.held_out)):
        if not len(split):
            faults.append(f"it has no images {name}")
    height, width = data.train.images.shape[1:3]
    left = height - 2 * proxy.crop, width - 2 * proxy.crop
    if min(left) < 1:
        faults.append(f"its images are {height}x{width}: nothing is left of them without {proxy.crop} pixels a side")
    elif proxy.resolution and (left[0] != left[1] or left[0] % proxy.resolution):
        faults.append(
            f"its images are {left[0]}x{left[1]} when cropped; accepted resolutions: "
            + (choices_text(d for d in range(1, left[0] + 1) if left[0] % d == 0) if left[0] == left[1] else "0")
        )
    return faults


def _part(split: Split, classes: int, most: int, proxy: Proxy) -> Split:
    chosen = np.flatnonzero(split.labels < classes)[: most or None]
    images = [_reduced(split.images[chosen[start : start + _CHUNK]], proxy) for start in range(0, len(chosen), _CHUNK)]
    normalization = Normalization() if proxy.colour == "contrast" else split.normalization
    return Split(np.concatenate(images) if images else split.images[chosen], split.labels[chosen], normalization)


def _reduced(images: NDArray[np.uint8], proxy: Proxy) -> NDArray[np.uint8]:
    count, height, width, channels = images.shape
    images = images[:, proxy.crop : height - proxy.crop, proxy.crop : width - proxy.crop]
    if proxy.resolution:
        size, factor = proxy.resolution, images.shape[1] // proxy.resolution
        blocks = images.reshape(count, size, factor, size, factor, channels)
        images = np.rint(blocks.mean((2, 4), dtype=np.float32)).astype(np.uint8)
    return colour_contrast(images) if proxy.colour == "contrast" else images
