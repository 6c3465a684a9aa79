"""Pooling of NHWC images in float32: over windows, and over whole images; the maximum of bytes as well.

Channels are cut into vectors of `lanes`, of which the last may overlap the one before; images that have fewer channels
than a vector of the processor take shorter ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar

import numpy as np

from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.ir.types import DType

VECTORS = 4
"""Vectors of channels whose means are computed side by side, a group."""


def vector_lanes(channels: int, lanes: int) -> int:
    """Lanes of the longest vector that is no longer than a vector of the processor, nor than all channels."""
    return min(lanes, 1 << channels.bit_length() - 1)


@dataclass(frozen=True)
class GlobalAverage(Kernel):
    """result [images, channels] = mean over pixels of x [images, pixels, channels], channels >= lanes.

    Threads share channels.
    """

    lanes: int

    name: ClassVar[str] = "global_average_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return dict.fromkeys(["x", "result"], DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("images", "pixels", "channels")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        first, last = share(e, _groups(n["channels"], self.lanes), n)
        with e.loop(0, n["images"]) as image:
            x = p["x"] + image.index * n["pixels"] * n["channels"]
            result = p["result"] + image.index * n["channels"]
            average(e, x, n["pixels"], n["channels"], result, self.lanes, first, last)


@dataclass(frozen=True)
class Pool(Kernel):
    """result [images, result_height, result_width, channels] = maximum or mean over windows of x, channels >= lanes.

    Windows begin `padding_top` and `padding_left` in front of x [images, height, width, channels]; the mean is over the
    pixels in the image, or over all of the window when `counts_padding`, and only of float32. Each column of a window
    is combined once and kept for the next windows; `vectors` of channels are computed side by side. Threads share rows.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    maximum: bool
    counts_padding: bool
    lanes: int
    vectors: int
    dtype: DType = DType.F32

    name: ClassVar[str] = "pool"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return dict.fromkeys(["x", "result"], self.dtype)

    @property
    def sizes(self) -> tuple[str, ...]:
        image = ("images", "height", "width", "channels")
        return (*image, "result_height", "result_width", "padding_top", "padding_left")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        groups = _groups(n["channels"], self.lanes, self.vectors)
        first, last = share(e, n["images"] * groups * n["result_height"], n)
        with e.loop(first, last) as loop:
            vector, rest = loop.index % groups * self.vectors, loop.index // groups
            image, row = rest // n["result_height"], rest % n["result_height"]
            places = [e.smaller((vector + v) * self.lanes, n["channels"] - self.lanes) for v in range(self.vectors)]
            x = p["x"] + image * n["height"] * n["width"] * n["channels"]
            result = p["result"] + (image * n["result_height"] + row) * n["result_width"] * n["channels"]
            self._row(e, n, [x + place for place in places], row, [result + place for place in places])

    def _row(
        self, e: Emitter, n: Mapping[str, Index], images: Sequence[Pointer], row: Index, results: Sequence[Pointer]
    ) -> None:
        """One row of results, of some vectors of channels."""
        top = row * self.strides[0] - n["padding_top"]
        rows = e.index(e.larger(top, 0)), e.index(e.smaller(top + self.kernel[0], n["height"]))
        width, stride = self.kernel[1], self.strides[1]
        kept = max(width - stride, 0)

        def column(number: Index) -> list[Vector]:
            outside = e.either(number < 0, number >= n["width"])
            start = [e.constant(self._least if self.maximum else 0, self.lanes, self.dtype)] * len(images)
            with e.loop(rows[0], e.choose(outside, rows[0], rows[1]), 1, start, unroll=1) as loop:
                place = (loop.index * n["width"] + number) * n["channels"]
                pixel = [e.load(image + place, self.lanes) for image in images]
                loop.values = [self._combine(e, a, b) for a, b in zip(loop.values, pixel, strict=True)]
            return loop.values

        carried = [vector for c in range(kept) for vector in column(c - n["padding_left"])]
        with e.loop(0, n["result_width"], 1, carried, unroll=1) as loop:
            left = loop.index * stride - n["padding_left"]
            columns = [loop.values[i : i + len(images)] for i in range(0, len(carried), len(images))]
            columns += [column(left + c) for c in range(kept, width)]
            loop.values = [vector for c in columns[width - kept :] for vector in c]
            if not self.maximum:
                factor = self._factor(e, n, rows, left)
            for i, result in enumerate(results):
                value = reduce(lambda a, b: self._combine(e, a, b), [c[i] for c in columns])
                e.store(value if self.maximum else value * factor, result + loop.index * n["channels"])

    @property
    def _least(self) -> float:
        return float("-inf") if self.dtype.is_float else float(np.iinfo(self.dtype.numpy.name).min)

    def _combine(self, e: Emitter, a: Vector, b: Vector) -> Vector:
        if not self.maximum:
            return a + b
        larger = e.at_least(a, b)
        return e.select(b.is_nan(), b, larger) if self.dtype.is_float else larger

    def _factor(self, e: Emitter, n: Mapping[str, Index], rows: tuple[Index, Index], left: Index) -> Vector:
        """One over the number of pixels that a mean is over."""
        if self.counts_padding:
            return e.constant(1 / (self.kernel[0] * self.kernel[1]), self.lanes)
        width = e.index(e.smaller(left + self.kernel[1], n["width"])) - e.larger(left, 0)
        one = 1 / e.convert(e.splat_index((rows[1] - rows[0]) * width, 1), DType.F32)
        return e.shuffle(one, one, [0] * self.lanes)


def average(
    e: Emitter,
    x: Pointer,
    pixels: Index,
    channels: Index,
    result: Pointer,
    lanes: int,
    first: Number = 0,
    last: Number | None = None,
) -> None:
    """result [channels] = mean over x [pixels, channels], for the groups of vectors from `first` to `last` - 1."""
    with e.loop(first, _groups(channels, lanes) if last is None else last) as loop:
        places = [e.smaller((loop.index * VECTORS + v) * lanes, channels - lanes) for v in range(VECTORS)]
        means = _means(e, [x + place for place in places], pixels, channels, lanes)
        for place, mean in zip(places, means, strict=True):
            e.store(mean, result + place)


def _groups(channels: Index, lanes: int, vectors: int = VECTORS) -> Index:
    return (channels + (lanes * vectors - 1)) // (lanes * vectors)


def _means(e: Emitter, columns: Sequence[Pointer], pixels: Index, stride: Index, lanes: int) -> list[Vector]:
    """The means over rows `stride` elements apart, for each column of vectors; two sums of pairs for each."""

    def load(column: Pointer, pixel: Number) -> Vector:
        return e.load(column + stride * pixel, lanes)

    whole, count = pixels // 4 * 4, len(columns)
    with e.loop(0, whole, 4, [e.constant(0, lanes)] * (2 * count), unroll=1) as loop:
        pairs = [load(c, loop.index + i) + load(c, loop.index + i + 2) for i in range(2) for c in columns]
        loop.values = [total + pair for total, pair in zip(loop.values, pairs, strict=True)]
    sums = [a + b for a, b in zip(loop.values[:count], loop.values[count:], strict=True)]
    with e.loop(whole, pixels, 1, sums, unroll=1) as rest:
        rest.values = [total + load(c, rest.index) for total, c in zip(rest.values, columns, strict=True)]
    factor = 1 / e.convert(e.splat_index(pixels, lanes), DType.F32)
    return [total * factor for total in rest.values]
