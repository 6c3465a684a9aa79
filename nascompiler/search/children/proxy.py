"""A cheap task that stands for the real one: smaller images, fewer of them, fewer classes, a smaller network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.dataset import Dataset, Images, Normalization, Split
from nascompiler.data.errors import DataError
from nascompiler.data.resizing import resized, size_fault
from nascompiler.ir.errors import UsageError, choices_text, unknown
from nascompiler.training.colour import colour_contrast
from nascompiler.training.recipe import Recipe

COLOURS = ("given", "contrast")
_CHUNK = 1000
_IN_MEMORY = 2**31
"""Bytes of images up to which they are kept in memory as reduced; more are reduced each time."""


@dataclass(frozen=True)
class Proxy:
    """What of a data set children are trained on, what of an architecture, and how.

    Images lose `crop` pixels at each side, are brought to `resolution` by a whole factor (0: as they are), and keep
    their colours (`given`) or become their `contrast`, see `colour_contrast`. Of the data set the first `classes`
    remain, and of these the first `train_images` and `held_out_images` (0: all). `width` multiplies the channels of a
    child; `cells` bounds the repeats of each stack of cells (0: as the architecture has them). With a folder to
    `inherit` from, children begin with the weights of the trained child that is most like them, see `WeightStore`.
    """

    resolution: int = 0
    crop: int = 0
    colour: str = "given"
    classes: int = 0
    train_images: int = 0
    held_out_images: int = 0
    width: float = 1.0
    cells: int = 0
    inherit: str = ""
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
    """The part of a data set that children see. Its test split is empty: no search looks at that.

    Raises DataError, listing all reasons, when the proxy does not fit the data.
    """
    faults = proxy_faults(data, proxy)
    if faults:
        raise DataError("\n".join([f"{data.name} cannot train children:", *(f"  {fault}" for fault in faults)]))
    classes = data.classes[: proxy.classes or None]
    train = _part(data.train, len(classes), proxy.train_images, proxy)
    held_out = _part(data.held_out, len(classes), proxy.held_out_images, proxy)
    return Dataset(data.name, classes, train, held_out, held_out.head(0))


def proxy_faults(data: Dataset, proxy: Proxy) -> list[str]:
    """Everything in which proxy and data do not fit, as lines."""
    faults = []
    if len(data.classes) < 2:
        faults.append(f"it has {len(data.classes)} class; accepted: two or more")
    if proxy.classes > len(data.classes):
        faults.append(f"it has {len(data.classes)} classes, and the proxy wants {proxy.classes}")
    classes, most = proxy.classes or len(data.classes), proxy.train_images or None
    for name, split in (("to train on", data.train), ("held out", data.held_out)):
        if not (split.labels < classes).any():
            of = f" of its first {classes} classes" if proxy.classes else ""
            faults.append(f"it has no images {name}{of}")
    if len(np.unique(data.train.labels[data.train.labels < classes][:most])) == 1 < len(data.classes):
        faults.append("all images to train on are of one class; accepted: images of two or more")
    height, width = data.train.images.shape[1:3]
    left = height - 2 * proxy.crop, width - 2 * proxy.crop
    if min(left) < 1:
        faults.append(f"its images are {height}x{width}: nothing is left of them without {proxy.crop} pixels a side")
    elif proxy.resolution and (fault := size_fault(left[0], left[1], proxy.resolution)):
        faults.append(fault)
    return faults


def _part(split: Split, classes: int, most: int, proxy: Proxy) -> Split:
    chosen = np.flatnonzero(split.labels < classes)[: most or None]
    normalization = Normalization() if proxy.colour == "contrast" else split.normalization
    images = ReducedImages(split.images, chosen, proxy)
    small = math.prod(images.shape) <= _IN_MEMORY
    return Split(images.all() if small else images, split.labels[chosen], normalization)


class ReducedImages:
    """Some images of a data set as the proxy makes them, made when they are indexed."""

    def __init__(self, images: Images, chosen: NDArray[np.int64], proxy: Proxy) -> None:
        self._images, self._chosen, self._proxy = images, chosen, proxy

    @property
    def shape(self) -> tuple[int, ...]:
        count, height, width, channels = len(self), *self._images.shape[1:]
        left = height - 2 * self._proxy.crop, width - 2 * self._proxy.crop
        size = (self._proxy.resolution,) * 2 if self._proxy.resolution else left
        return count, *size, channels

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: NDArray[np.int64], /) -> NDArray[np.uint8]:
        return _reduced(self._images[self._chosen[index]], self._proxy)

    def all(self) -> NDArray[np.uint8]:
        """All of them in memory."""
        made = np.empty(self.shape, np.uint8)
        for start in range(0, len(self), _CHUNK):
            made[start : start + _CHUNK] = self[np.arange(start, min(start + _CHUNK, len(self)))]
        return made


def _reduced(images: NDArray[np.uint8], proxy: Proxy) -> NDArray[np.uint8]:
    height, width = images.shape[1:3]
    images = images[:, proxy.crop : height - proxy.crop, proxy.crop : width - proxy.crop]
    if proxy.resolution:
        images = resized(images, proxy.resolution)
    return colour_contrast(images) if proxy.colour == "contrast" else images
