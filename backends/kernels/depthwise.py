"""Float32 depthwise convolution: a tile is some columns of one row, or of two, by one vector of channels.

Two rows read the lines that they share once. Nothing is padded. Kernel rows that miss the image are left out when the
kernel runs; kernel columns are left out in the code of the first and the last tile of a row, all others run the same
code. The last tile of a row or column and the last vector of channels overlap the one before, and what they share is
computed twice, to the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, Rows, Sizes, share
from nascompiler.ir.types import Array, DType

LINE = 16
"""Numbers in a line of memory."""

TOUCHED = 4
"""Lines of memory that are touched between two branches."""

Taps = Sequence[Sequence[int]]
"""For each column of a tile, the kernel columns that meet the image there."""


@dataclass(frozen=True)
class Row:
    """How an output row of a depthwise convolution is cut into tiles of `columns` columns.

    `kernel`, `strides` and `dilation` are (height, width). `missing` counts the places beside the image, left and
    right, that the kernel meets at the ends of the row. A `single` tile is the whole row. `lanes` channels, at most
    those of the image, make a vector.
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
        right = max(right, 0)
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

    x is [images, height, width, channels], of which relu(x) is meant when `rectified`; weight is packed by `Row.pack`.
    Threads share parts: images x `row_parts` of the rows x `channel_parts` of the channels; a part has at least `rows`
    rows, which are one or two. In a part, `band` rows, a multiple, of a `block` of vectors of channels come before the
    next block: so many that pixels are read again while they are near, so few that their taps are as well. `pooled`
    [images, channels] gets the means of the result over all pixels; a part then has all rows, and the workspace a
    vector for each image and vector of channels. When `touched`, the lines of memory that a tile reads are all touched
    first, in the order of their addresses, which is what prefetchers foresee.
    """

    row: Row
    activation: Activation = NONE
    residual: bool = False
    pooled: bool = False
    rectified: bool = False
    rows: int = 1
    touched: bool = False

    name: ClassVar[str] = "depthwise_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        names = ["x", "weight"] + ["residual"] * self.residual + ["result"] + ["pooled", "workspace"] * self.pooled
        return dict.fromkeys(names, DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        image = ("images", "height", "width", "channels", "result_height", "result_width", "padding_top")
        return (*image, "row_parts", "channel_parts", "band", "block")

    def some_rows(self, sizes: Sizes, height: int, first: int, last: int) -> Rows | None:
        extent = (self.row.kernel[0] - 1) * self.row.dilation[0] + 1
        made = Rows.of_windows(sizes, first, last, stride=self.row.strides[0], extent=extent, top="padding_top")
        parts = min(sizes["row_parts"], (last - first) // self.rows)
        return replace(made, sizes={**made.sizes, "row_parts": parts}) if parts and not self.pooled else None

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = self.row.lanes
        row_parts, channel_parts, height = n["row_parts"], n["channel_parts"], n["result_height"]
        tiles = (height + (self.rows - 1)) // self.rows
        vectors = (n["channels"] + (lanes - 1)) // lanes
        first, last = share(e, n["images"] * row_parts * channel_parts, n)
        with e.loop(first, last) as part:
            image, channel_part = part.index // channel_parts, part.index % channel_parts
            image, row_part = image // row_parts, image % row_parts
            start = tiles * row_part // row_parts * self.rows  # no tile of two rows is cut
            stop = e.index(e.smaller(tiles * (row_part + 1) // row_parts * self.rows, height))
            begin, end = vectors * channel_part // channel_parts, vectors * (channel_part + 1) // channel_parts
            sums = p["workspace"] + image * vectors * lanes if self.pooled else None
            if sums is not None:
                with e.loop(begin, end) as vector:
                    e.store(e.constant(0, lanes), sums + vector.index * lanes)
            with e.loop(start, stop, n["band"]) as band, e.loop(begin, end, n["block"]) as block:
                behind = e.smaller(block.index + n["block"], end)
                with e.loop(band.index, e.smaller(band.index + n["band"], stop), self.rows) as rows:
                    row = e.index(e.smaller(rows.index, stop - self.rows))
                    self._rows(e, p, n, image, row, rows.index - row, (block.index, behind), sums)
            if sums is not None:
                pixels = e.convert(e.splat_index(height * n["result_width"], lanes), DType.F32)
                with e.loop(begin, end) as vector:
                    channel = e.smaller(vector.index * lanes, n["channels"] - lanes)
                    mean = e.load(sums + vector.index * lanes, lanes) / pixels
                    e.store(mean, p["pooled"] + image * n["channels"] + channel)

    def _rows(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        image: Index,
        row: Index,
        known_rows: Index,
        vectors: tuple[Number, Number],
        sums: Pointer | None,
    ) -> None:
        """Output rows from `row` on, for the vectors from the first to the last + 1.

        Pixels are added to `sums`, but for those of the first `known_rows`.
        """
        channels, lanes = n["channels"], self.row.lanes
        weights = self.row.kernel[0] * self.row.kernel[1] + 1
        top = row * self.row.strides[0] - n["padding_top"]
        line = p["x"] + ((image * n["height"] + top) * n["width"] - self.row.missing[0]) * channels
        first_pixel = (image * n["result_height"] + row) * n["result_width"]

        def tile(column: Number, taps: Taps, known: Number) -> None:
            if self.touched:
                pixels = line + e.index(column) * self.row.strides[1] * channels
                self._touch(e, pixels, (n["width"] * channels, top, n["height"]), channels, taps)
            with e.loop(*vectors) as vector:
                channel = e.smaller(vector.index * lanes, channels - lanes)
                weight = p["weight"] + vector.index * (weights * lanes)
                start = line + e.index(column) * self.row.strides[1] * channels + channel
                lines = (n["width"] * channels, top, n["height"])
                convolved = convolve_rows(e, self.row, self.rows, start, lines, channels, weight, taps, self.rectified)
                added = e.constant(0, lanes)
                for i, value in enumerate(convolved):
                    j, i = divmod(i, self.row.columns)
                    at = (first_pixel + n["result_width"] * j + column + i) * channels + channel
                    if self.residual:
                        value = value + e.load(p["residual"] + at, lanes)
                    value = activate(e, value, self.activation)
                    e.store(value, p["result"] + at)
                    if sums is not None:
                        is_new = e.neither(e.index(known) > i, known_rows > j)
                        added = added + e.select(is_new.value, value, 0.0)
                if sums is not None:
                    place = sums + vector.index * lanes
                    e.store(e.load(place, lanes) + added, place)

        each_tile(e, self.row, n["result_width"], tile)

    def _touch(
        self, e: Emitter, start: Pointer, lines: tuple[Index, Index, Index], channels: Index, taps: Taps
    ) -> None:
        """Read one number of every line of memory of the image that a tile meets; arguments as of `convolve_rows`."""
        pitch, top, height = lines
        rows = self.row.kernel[0] + (self.rows - 1) * self.row.strides[0]
        places = [self.row.place(column, k) for column, ks in enumerate(taps) for k in ks]
        first, last = kernel_rows(e, self.row, top, height, rows)
        with e.loop(first, last) as y:
            pixels = start + y.index * self.row.dilation[0] * pitch
            with e.loop(channels * min(places), channels * (max(places) + 1), LINE, unroll=TOUCHED) as place:
                e.touch(pixels + place.index)


def convolve_rows(
    e: Emitter,
    row: Row,
    rows: int,
    start: Pointer,
    lines: tuple[Index, Index, Index],
    channels: Index,
    weight: Pointer,
    taps: Taps,
    rectified: bool,
) -> list[Vector]:
    """The columns of a tile of one or two rows, row by row, for a vector of channels: bias and sums of products.

    `start` is where kernel row 0 and column 0 of the first output meet the image, or would; `lines` are the distance of
    its lines, the number of the first one that the tile meets, and how many there are. Two rows are not dilated.
    """
    pitch, top, height = lines
    kernel, step = row.kernel[0], row.strides[0]
    bias = e.load(weight + kernel * row.kernel[1] * row.lanes, row.lanes)
    sums = [[bias] * row.columns for _ in range(rows)]
    first, last = kernel_rows(e, row, top, height, kernel if rows == 1 else kernel + step)
    # output row j meets image line y by kernel row y - j * step: the first lines are for row 0 alone, the last for 1
    parts = [(0, kernel, [0])] if rows == 1 else [(0, step, [0]), (step, kernel, [0, 1]), (kernel, kernel + step, [1])]
    for begin, end, met in parts:
        carried = [total for j in met for total in sums[j]]
        with e.loop(e.larger(first, begin), e.smaller(last, end), 1, carried, unroll=1) as y:
            pixels = start + y.index * row.dilation[0] * pitch
            factors = [weight + (y.index - j * step) * (row.kernel[1] * row.lanes) for j in met]
            y.values = add_kernel_rows(e, row, pixels, channels, factors, taps, y.values, rectified)
        for i, j in enumerate(met):
            sums[j] = y.values[i * row.columns : (i + 1) * row.columns]
    return [total for line in sums for total in line]


def kernel_rows(e: Emitter, row: Row, top: Index, height: Index, count: int | None = None) -> tuple[Number, Number]:
    """First and last + 1 of `count` rows, the kernel's by default, that meet an image, where row 0 meets its `top`."""
    step = row.dilation[0]
    first, last = (e.index(e.larger(rows, 0) + (step - 1)) // step for rows in (0 - top, height - top))
    return first, e.smaller(last, count or row.kernel[0])


def each_tile(e: Emitter, row: Row, result_width: Index, body: Callable[[Number, Taps, Number], None]) -> None:
    """`body(first column, taps, known)` for the tiles of a row, in order.

    The first `known` columns of a tile belong to the tile before as well.
    """
    body(0, row.taps(first=True, last=row.single), 0)
    if row.single:
        return
    start = (result_width - 1) // row.columns * row.columns
    with e.loop(row.columns, start, row.columns) as middle:
        body(middle.index, row.taps(first=False, last=False), 0)
    last = result_width - row.columns
    body(last, row.taps(first=False, last=True), start - last)


def convolve_tile(
    e: Emitter,
    row: Row,
    start: Pointer,
    width: Index,
    used: tuple[Number, Number],
    channels: Index,
    weight: Pointer,
    taps: Taps,
    rectified: bool,
) -> list[Vector]:
    """The columns of a tile, for a vector of channels: sums of products, and the bias.

    `start` is where kernel row 0 and column 0 of the first output column meet the image, which is `width` pixels of
    `channels` channels wide, or would; only the kernel rows `used`, first and last + 1, do. `weight` is the part for
    this vector of what `Row.pack` made.
    """
    with e.loop(*used, 1, [e.constant(0, row.lanes)] * row.columns, unroll=1) as y:
        pixels = start + y.index * row.dilation[0] * width * channels
        factors = weight + y.index * (row.kernel[1] * row.lanes)
        y.values = add_kernel_row(e, row, pixels, channels, factors, taps, y.values, rectified)
    bias = e.load(weight + row.kernel[0] * row.kernel[1] * row.lanes, row.lanes)
    return [total + bias for total in y.values]


def add_kernel_row(
    e: Emitter,
    row: Row,
    pixels: Pointer,
    channels: Number,
    weight: Pointer,
    taps: Taps,
    sums: Sequence[Vector],
    rectified: bool = False,
) -> list[Vector]:
    """The `sums` of the columns of a tile plus the products of (rectified) pixels with one kernel row.

    `pixels` is where kernel column 0 of the first output column meets the image, or would; pixels are `channels`
    elements apart. `weight` has a vector for each kernel column.
    """
    return add_kernel_rows(e, row, pixels, channels, [weight], taps, sums, rectified)


def add_kernel_rows(
    e: Emitter,
    row: Row,
    pixels: Pointer,
    channels: Number,
    weights: Sequence[Pointer],
    taps: Taps,
    sums: Sequence[Vector],
    rectified: bool = False,
) -> list[Vector]:
    """The same for several kernel rows that meet the same pixels, for as many lines of `sums`, one behind the other."""
    users: dict[int, list[tuple[int, int]]] = {}
    for column, ks in enumerate(taps):
        for k in ks:
            users.setdefault(row.place(column, k), []).append((column, k))
    used = sorted({k for ks in taps for k in ks})
    factors = [{k: e.load(weight + k * row.lanes, row.lanes) for k in used} for weight in weights]
    added = list(sums)
    for place in sorted(users):
        value = e.load(pixels + e.index(channels) * place, row.lanes)
        if rectified:
            value = e.at_least(value, 0)
        for line, line_factors in enumerate(factors):
            for column, k in users[place]:
                at = line * row.columns + column
                added[at] = e.multiply_add(value, line_factors[k], added[at])
    return added
