"""Float32 means over whole images [pixels, channels], vector of channels by vector of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.cpu.tiling import lane_pieces
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.gemm import zip_offsets
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.ir.types import DType

_PIXELS = 8
"""Pixels that are summed as a tree before they meet the total: shorter sums, which lose fewer digits."""

_VECTORS = 4
"""Vectors of channels read side by side."""


@dataclass(frozen=True)
class GlobalAverage(Kernel):
    """result [images, channels] = mean over pixels of x [images, pixels, channels].

    `few` is the number of channels where it is less than a vector, otherwise 0. Threads share images and channels.
    """

    few: int = 0

    name: ClassVar[str] = "global_average_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return dict.fromkeys(["x", "result"], DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("images", "pixels", "channels")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = e.isa.lanes
        vectors = (n["channels"] + (lanes - 1)) // lanes
        first, last = share(e, vectors, n)
        with e.loop(0, n["images"]) as image:
            x = p["x"] + image.index * n["pixels"] * n["channels"]
            result = p["result"] + image.index * n["channels"]
            average(e, x, n["pixels"], n["channels"], first, last, result, self.few)


def average(
    e: Emitter, x: Pointer, pixels: Index, channels: Index, first: Number, last: Number, result: Pointer, few: int
) -> None:
    """result [channels] = mean over x [pixels, channels], for the vectors of channels from `first` to `last` - 1."""
    lanes = e.isa.lanes
    if few:
        with e.loop(first, last):
            for offset, piece in zip_offsets(lane_pieces(few, lanes)):
                (mean,) = _means(e, [x + offset], pixels, channels, piece)
                e.store(mean, result + offset)
        return

    def columns(vectors: Sequence[Index]) -> None:
        places = [e.smaller(vector * lanes, channels - lanes) for vector in vectors]
        means = _means(e, [x + place for place in places], pixels, channels, lanes)
        for place, mean in zip(places, means, strict=True):
            e.store(mean, result + place)

    whole = e.index(first) + (e.index(last) - first) // _VECTORS * _VECTORS
    with e.loop(first, whole, _VECTORS) as loop:
        columns([loop.index + v for v in range(_VECTORS)])
    with e.loop(whole, last) as loop:
        columns([loop.index])


def _means(e: Emitter, columns: Sequence[Pointer], pixels: Index, stride: Index, lanes: int) -> list[Vector]:
    """The means over rows `stride` elements apart, for each column of vectors."""
    whole = pixels // _PIXELS * _PIXELS
    with e.loop(0, whole, _PIXELS, [e.constant(0, lanes)] * len(columns), unroll=1) as loop:
        for i, column in enumerate(columns):
            rows = [e.load(column + (loop.index + pixel) * stride, lanes) for pixel in range(_PIXELS)]
            loop.values[i] = loop.values[i] + _tree(rows)
    with e.loop(whole, pixels, 1, loop.values, unroll=1) as rest:
        for i, column in enumerate(columns):
            rest.values[i] = rest.values[i] + e.load(column + rest.index * stride, lanes)
    count = e.convert(e.splat_index(pixels, lanes), DType.F32)
    return [total / count for total in rest.values]


def _tree(values: Sequence[Vector]) -> Vector:
    while len(values) > 1:
        values = [a + b for a, b in zip(values[::2], values[1::2], strict=True)]
    return values[0]
