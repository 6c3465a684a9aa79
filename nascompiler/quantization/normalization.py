"""From pixels to what a network takes: (x / 255 - mean) / deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Attribute, DType, Graph
from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.quantization.network_inputs import ImageInput

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of pixels from 0 to 1, RGB: what the networks of torchvision and timm are trained with."""

MEAN, DEVIATION = "mean", "std"
"""Attributes of a graph that say how its images are normalised: three numbers, or one for grey images."""

CHANNEL_ORDERS = ("RGB", "BGR")


@dataclass(frozen=True)
class ImageOptions:
    """What a user says about the images of a network. `mean` and `deviation` stand in the order of its channels."""

    mean: Sequence[float] | None = None
    deviation: Sequence[float] | None = None
    channel_order: str = "RGB"


@dataclass(frozen=True)
class PixelNormalization:
    """(x / 255 - mean) / deviation for each channel, in the order of the network's channels."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    blue_first: bool = False
    """Whether the network takes BGR."""

    def __call__(self, pixels: NDArray[np.float32], dtype: DType) -> NDArray[np.generic]:
        """Pixels [H, W, C] from 0 to 255, RGB or grey, as the network takes them; a u8 input takes them as they are."""
        ordered = pixels[..., ::-1] if self.blue_first and pixels.shape[-1] == 3 else pixels
        if not dtype.is_float:
            return np.clip(np.rint(ordered), 0, 255).astype(dtype.numpy)
        mean, deviation = np.asarray(self.mean, np.float32), np.asarray(self.deviation, np.float32)
        return np.asarray((ordered / np.float32(255) - mean) / deviation, dtype.numpy)


def pixel_normalization(graph: Graph, image: ImageInput, options: ImageOptions) -> PixelNormalization:
    """The normalisation that is given, else that in the graph's attributes, else ImageNet's; its averages if grey.

    Raises UsageError for other than one number or one for each channel, and for deviations that are not positive.
    """
    if options.channel_order not in CHANNEL_ORDERS:
        raise UsageError(f"channel order {options.channel_order!r}: accepted are {choices_text(CHANNEL_ORDERS)}")
    blue_first = options.channel_order == "BGR"
    turn = slice(None, None, -1 if blue_first else 1)
    chosen: list[tuple[float, ...]] = []
    stated: list[tuple[str, Sequence[float] | None, tuple[float, ...]]] = [
        (MEAN, options.mean, IMAGENET_MEAN),
        (DEVIATION, options.deviation, IMAGENET_DEVIATION),
    ]
    for name, given, default in stated:
        if given is None and name in graph.attributes:
            given = _noted(graph, name, graph.attributes[name])
        numbers = tuple(map(float, default[turn] if given is None else given))
        if len(numbers) == 3 and image.channels == 1:
            numbers = (sum(numbers) / 3,)
        if len(numbers) == 1:
            numbers *= image.channels
        if len(numbers) != image.channels:
            raise UsageError(f"{name} has {len(numbers)} numbers; accepted: 1, or {image.channels} for the channels")
        if not all(np.isfinite(numbers)):
            raise UsageError(f"{name} {numbers} is not finite")
        chosen.append(numbers)
    if not all(d > 0 for d in chosen[1]):
        raise UsageError(f"{DEVIATION} {chosen[1]} must be positive")
    return PixelNormalization(chosen[0], chosen[1], blue_first)


def _noted(graph: Graph, name: str, noted: Attribute) -> tuple[float, ...]:
    numbers = noted if isinstance(noted, tuple) else (noted,)
    if not all(isinstance(n, (int, float)) for n in numbers):
        raise UsageError(f"the attribute {name} of {graph.name} is {noted!r}; accepted: numbers for the channels")
    return tuple(float(n) for n in numbers if isinstance(n, (int, float)))
