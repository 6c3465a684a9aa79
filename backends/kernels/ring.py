"""A ring of expanded rows: what the kernels that fuse a depthwise convolution with its producer keep of their image.

A row is kept block by block, a block being its pixels for one vector of channels, with zeros on both sides where the
image is padded. A depthwise tile then reads neighbours at fixed distances, and never meets an edge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nascompiler.backends.kernels.depthwise import Row, add_kernel_row
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector

Tile = Callable[[Pointer, Pointer], None]
"""Emits code for a tile of neighbouring pixels; the first of them in x, and in the first block of the ring."""


@dataclass(frozen=True)
class Window:
    """A square depthwise convolution that makes `height` rows in one step, `pixels` columns at a time."""

    kernel: int
    stride: int
    height: int
    pixels: int

    @property
    def rows(self) -> int:
        """Input rows under the windows of a step."""
        return self.kernel + (self.height - 1) * self.stride

    def ring_size(self, lanes: int, blocks: int, sizes: Mapping[str, int]) -> int:
        """Floats of a ring with so many blocks; `sizes` are the kernel's."""
        width = max(sizes["left"] + sizes["width"], (sizes["result_width"] - 1) * self.stride + self.kernel)
        return self.rows * width * blocks * lanes


class Ring:
    """Rows of `blocks` blocks; `n` has height, width, c, top, left, result_height and result_width of the kernel."""

    def __init__(
        self, e: Emitter, window: Window, n: Mapping[str, Index], start: Callable[[Index], Pointer], blocks: Number
    ) -> None:
        """`start` says where the ring is, by the floats it needs."""
        self.e, self.window, self.n = e, window, n
        reach = (n["result_width"] - 1) * window.stride + window.kernel
        self.width = e.index(e.larger(n["left"] + n["width"], reach))
        self.row_size = self.width * blocks * e.isa.lanes
        self.size = self.row_size * window.rows
        self.start = start(self.size)

    def row(self, source: Index) -> Pointer:
        """Where a row of the image is kept; it may lie above the image."""
        rows = self.window.rows
        return self.start + (source + rows) % rows * self.row_size

    def clear_borders(self) -> None:
        """Zeros left and right of the image in every block, where they stay."""
        block, left = self.width * self.e.isa.lanes, self.n["left"] * self.e.isa.lanes
        right = left + self.n["width"] * self.e.isa.lanes
        with self.e.loop(0, self.size, block) as loop:
            self._clear(self.start + loop.index, left)
            self._clear(self.start + loop.index + right, block - right)

    def _clear(self, start: Pointer, count: Index) -> None:
        with self.e.loop(0, count, self.e.isa.lanes) as loop:
            self.e.store(self.e.constant(0, self.e.isa.lanes), start + loop.index)

    def sweep(
        self,
        first: Number,
        last: Number,
        fill: Callable[[Index, Index], None],
        finish: Callable[[Index, Number, Sequence[Pointer]], None],
    ) -> None:
        """Go over rows `first` to `last` - 1 of the result, which are `height` or more, step by step.

        `fill(first, last)` expands rows of the image that are new; `finish(row, known, rows)` computes the rows of a
        step from the `rows` of the ring under them. `known` of them belong to the step before as well.
        """
        e, window, top = self.e, self.window, self.n["top"]
        with e.loop(first, last, window.height) as step:
            row = e.index(e.smaller(step.index, e.index(last) - window.height))
            start = row * window.stride - top
            kept = e.choose(step.index.equals(first), 0, window.rows - window.height * window.stride)
            fresh, stop = step.index * window.stride - top + kept, start + window.rows
            with e.loop(fresh, stop) as source:
                with e.when(e.either(source.index < 0, source.index >= self.n["height"])):
                    self._clear(self.row(source.index), self.row_size)
            fill(e.index(e.larger(fresh, 0)), e.index(e.smaller(stop, self.n["height"])))
            finish(row, step.index - row, [self.row(start + i) for i in range(window.rows)])

    def each_tile(self, x: Pointer, first: Index, last: Index, pixels: int, body: Tile) -> None:
        """`body` for tiles of `pixels` neighbours, in rows `first` to `last` - 1 of an image x."""
        e, n = self.e, self.n
        with e.loop(first, last) as row, e.loop(0, n["width"], pixels) as columns:
            column = e.index(e.smaller(columns.index, n["width"] - pixels))
            body(
                x + (row.index * n["width"] + column) * n["c"],
                self.row(row.index) + (n["left"] + column) * e.isa.lanes,
            )

    def convolve(self, rows: Sequence[Pointer], weight: Pointer) -> list[list[Vector]]:
        """The depthwise sums of a tile of each row of a step, for a vector of channels.

        `rows` are where the windows of the tile begin in the rows under it, `weight` is kernel x kernel vectors.
        """
        e, (kernel, stride) = self.e, (self.window.kernel, self.window.stride)
        lanes = e.isa.lanes
        cut = Row((kernel, kernel), (stride, stride), (1, 1), (0, 0), self.window.pixels, single=False, lanes=lanes)
        taps = cut.taps(first=False, last=False)
        sums = [[e.constant(0, lanes)] * self.window.pixels for _ in range(self.window.height)]
        for y, row in enumerate(rows):
            for j, line in enumerate(sums):
                if 0 <= y - j * stride < kernel:
                    factors = weight + (y - j * stride) * kernel * lanes
                    sums[j] = add_kernel_row(e, cut, row, lanes, factors, taps, line)
        return sums
