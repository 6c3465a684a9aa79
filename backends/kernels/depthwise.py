"""Float32 depthwise convolution: a tile is some columns of one row by one vector of channels.

Nothing is padded. Kernel rows that miss the image are left out when the kernel runs; kernel columns are left out in the
code of the first and the last tile of a row, all others run the same code. The last tile of a row and the last vector
of channels overlap the one before, and what they share is computed twice, to the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.ir.types import Array, DType

Taps = Sequence[Sequence[int]]
"""For each column of a tile, the kernel columns that meet the image there."""


@dataclass(frozen=True)
class Row:
    """How an output row of a depthwise convolution is cut into tiles of `columns` columns.

    `kernel`, `strides` and `dilation` are (height, width). `missing` counts the places beside the image, left and
    right, that the outermost kernel columns meet at the ends of the row; it is negative where columns of the image are
    not read. A `single` tile is the whole row. `lanes` channels, at most those of the image, make a vector.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    missing: tuple[int, int]
    columns: int
    single: bool
    lanes: int

    def __str__(self) -> str:
        shape = f"{self.kernel[0]}x{self.kernel[1]} s{self.strides[0]} {self.columns} columns"
        return f"{shape} single" if self.single else shape

    @classmethod
    def of(cls, window: Window, columns: int, lanes: int) -> Row | None:
        """The cut of the rows of a convolution, or None where a tile in the middle would meet an edge."""
        stride, dilation = window.strides[1], window.dilation[1]
        left, outputs = window.padding[1], window.output[1]
        right = (outputs - 1) * stride + (window.kernel[1] - 1) * dilation + 1 - left - window.size[1]
        edges = -(-left // stride), -(-right // stride)
        rest = outputs - (outputs - 1) // columns * columns
        if outputs != columns and (min(columns, outputs - columns) < max(edges) or rest < edges[1]):
            return None
        return cls(window.kernel, window.strides, window.dilation, (left, right), columns, outputs == columns, lanes)

    def taps(self, *, first: bool, last: bool) -> Taps:
        """The kernel columns of a tile that begins the row, or ends it, or both."""
        start = self.missing[0] if first else 0
        stop = self.place(self.columns - 1, self.kernel[1] - 1) + 1 - (self.missing[1] if last else 0)
        return [[k for k in range(self.kernel[1]) if start <= self.place(i, k) < stop] for i in range(self.columns)]

    def place(self, column: int, k: int) -> int:
        """The input column that kernel column k meets, counted from the first one that the tile meets."""
        return column * self.strides[1] + k * self.dilation[1]

    def pack(self, weight: Array, bias: Array) -> Array:
        """Weights [kh, kw, 1, C] and bias [C] as kernels read them: [vectors, kh * kw + 1, lanes], the bias last."""
        channels = bias.size
        rows = np.concatenate([np.asarray(weight).reshape(-1, channels), np.asarray(bias).reshape(1, channels)])
        starts = np.minimum(np.arange(0, channels, self.lanes), channels - self.lanes)
        return np.ascontiguousarray(rows[:, starts[:, None] + np.arange(self.lanes)].swapaxes(0, 1))


@dataclass(frozen=True)
class Depthwise(Kernel):
    """result [images, result_height, result_width, channels] = activation(convolution of x + bias + residual).

    x is [images, height, width, channels]; weight is packed by `Row.pack`. `pooled` [images, channels] gets the means
    of the result over all pixels. Threads share parts: images x `row_parts` of the rows x `channel_parts` of the
    channels. In a part, `band` rows of one vector of channels come before the next vector: many rows suit images that
    stay in the cache, few read a large image once. With `pooled`, a part has all rows and they are one band.
    """

    row: Row
    activation: Activation = NONE
    residual: bool = False
    pooled: bool = False

    name: ClassVar[str] = "depthwise_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        names = ["x", "weight"] + ["residual"] * self.residual + ["result"] + ["pooled"] * self.pooled
        return dict.fromkeys(names, DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        image = ("images", "height", "width", "channels", "result_height", "result_width", "padding_top")
        return (*image, "row_parts", "channel_parts", "band")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = self.row.lanes
        row_parts, channel_parts, height = n["row_parts"], n["channel_parts"], n["result_height"]
        vectors = (n["channels"] + (lanes - 1)) // lanes
        first, last = share(e, n["images"] * row_parts * channel_parts, n)
        with e.loop(first, last) as part:
            image, channel_part = part.index // channel_parts, part.index % channel_parts
            image, row_part = image // row_parts, image % row_parts
            stop = height * (row_part + 1) // row_parts
            last_vector = vectors * (channel_part + 1) // channel_parts
            with e.loop(height * row_part // row_parts, stop, n["band"]) as band:
                with e.loop(vectors * channel_part // channel_parts, last_vector) as vector:
                    channel = e.smaller(vector.index * lanes, n["channels"] - lanes)
                    weight = p["weight"] + vector.index * ((self.row.kernel[0] * self.row.kernel[1] + 1) * lanes)
                    pooled = [e.constant(0, lanes)] * self.pooled
                    with e.loop(band.index, e.smaller(band.index + n["band"], stop), 1, pooled) as row:
                        total = self._row(e, p, n, image, row.index, channel, weight)
                        row.values = [v + total for v in row.values]
                    for value in row.values:
                        pixels = e.convert(e.splat_index(height * n["result_width"], lanes), DType.F32)
                        e.store(value / pixels, p["pooled"] + image * n["channels"] + channel)

    def _row(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        image: Index,
        row: Index,
        channel: Number,
        weight: Pointer,
    ) -> Vector:
        dilation = self.row.dilation[0]
        top = row * self.row.strides[0] - n["padding_top"]
        first = e.index(e.larger(0 - top, 0) + (dilation - 1)) // dilation
        last = e.smaller(e.index(e.larger(n["height"] - top, 0) + (dilation - 1)) // dilation, self.row.kernel[0])
        line = p["x"] + ((image * n["height"] + top) * n["width"] - self.row.missing[0]) * n["channels"] + channel
        pitch = n["width"] * n["channels"] * dilation
        result = (image * n["result_height"] + row) * n["result_width"] * n["channels"] + channel
        return depthwise_row(
            e,
            self.row,
            lambda y: line + y * pitch,
            (first, last),
            weight,
            channels=n["channels"],
            result=p["result"] + result,
            result_width=n["result_width"],
            residual=p["residual"] + result if self.residual else None,
            activation=self.activation,
            sums=self.pooled,
        )


def depthwise_row(
    e: Emitter,
    row: Row,
    line: Callable[[Number], Pointer],
    kernel_rows: tuple[Number, Number],
    weight: Pointer,
    *,
    channels: Number,
    result: Pointer,
    result_width: Number,
    residual: Pointer | None,
    activation: Activation,
    sums: bool = False,
) -> Vector:
    """One output row of one vector of channels; returns the sum of its pixels when asked for `sums`, otherwise zero.

    `line(y)` is the address at which kernel column 0 of the first output column meets kernel row y, for the kernel rows
    from the first to the last + 1 of `kernel_rows`. It stands `row.missing[0]` pixels to the left of the image and is
    not read there. Pixels of x, residual and result are `channels` elements apart; `weight` is this vector's part of
    what `Row.pack` made.
    """

    def tile(column: Number, taps: Taps, counted: Number, total: Vector) -> Vector:
        step = e.index(column) * channels
        values = _convolve(e, row, lambda y: line(y) + step * row.strides[1], kernel_rows, weight, taps, channels)
        bias = e.load(weight + row.kernel[0] * row.kernel[1] * row.lanes, row.lanes)
        for i, value in enumerate(values):
            at = step + channels * i
            value = value + bias
            if residual is not None:
                value = value + e.load(residual + at, row.lanes)
            value = activate(e, value, activation)
            e.store(value, result + at)
            if sums:
                known = isinstance(counted, int)
                total = total + (value if known else e.select((counted <= i).value, value, 0.0))
        return total

    total = e.constant(0, row.lanes)
    total = tile(0, row.taps(first=True, last=row.single), 0, total)
    if row.single:
        return total
    before_last = (e.index(result_width) - 1) // row.columns * row.columns
    with e.loop(row.columns, before_last, row.columns, [total] * sums) as middle:
        inner = tile(middle.index, row.taps(first=False, last=False), 0, middle.values[0] if sums else total)
        middle.values = [inner] * sums
    total = middle.values[0] if sums else total
    start = e.index(result_width) - row.columns
    return tile(start, row.taps(first=False, last=True), before_last - start, total)


def _convolve(
    e: Emitter,
    row: Row,
    line: Callable[[Number], Pointer],
    kernel_rows: tuple[Number, Number],
    weight: Pointer,
    taps: Taps,
    channels: Number,
) -> list[Vector]:
    """The sums of products of each column of a tile."""

    def kernel_row(y: Number, sums: Sequence[Vector]) -> list[Vector]:
        used = sorted({k for ks in taps for k in ks})
        first = weight + e.index(y) * (row.kernel[1] * row.lanes)
        weights = {k: e.load(first + k * row.lanes, row.lanes) for k in used}
        start = line(y)
        added = list(sums)
        for place in sorted({row.place(i, k) for i, ks in enumerate(taps) for k in ks}):
            pixel = e.load(start + e.index(channels) * place, row.lanes)
            for i, ks in enumerate(taps):
                for k in ks:
                    if row.place(i, k) == place:
                        added[i] = e.multiply_add(pixel, weights[k], added[i])
        return added

    with e.loop(*kernel_rows, 1, [e.constant(0, row.lanes)] * row.columns, unroll=1) as loop:
        loop.values = kernel_row(loop.index, loop.values)
    return loop.values
