"""Float32 convolution of images with packed weights: any kernel, stride, padding, dilation and groups.

A register tile is `pixels` neighbours in a row of the result by a panel of channels. Its sums run over kernel rows, and
in each over segments: elements of x that lie next to each other, those of a whole kernel row where it is not dilated. A
tile whose windows leave the image has them copied to the workspace first, with zeros around, and reads them there. The
last tile of a row and the last vector of channels overlap the one before, as in a matrix product (gemm.py).

A planar image has a plane for each channel. It is read as so many images of one channel, whose sums are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.gemm import add_products, each_panel, finish_tile
from nascompiler.backends.kernels.kernel import Kernel, Rows, Sizes, share
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class Convolution(Kernel):
    """result [N, OH, OW, n] = activation(convolution of x [N, H, W, c] + bias [n] + residual), OW >= pixels.

    Sizes: `rows` = N * OH; `group_c` and `group_n` are the channels of one group, `wide` and `narrow` its panels.
    `segments` of `k` elements make a kernel row, `extent_height` is what a dilated kernel spans and `span` what the
    windows of a tile do, (pixels - 1) * stride + extent. The workspace has kernel_height * span * c floats for each
    chunk, and a vector more.

    `divisor` of k is how far its loop is unrolled. `step` is the distance of neighbouring windows where the code
    depends on it, so that they need no addresses of their own, otherwise 0. `columns` is the channels of a group where
    they are less than a vector, otherwise 0. `single` says that groups, segments and panels are one each, as in stems.
    Threads share rows of the result, or panels when `panels_outside`. `planar` says that x is [N, c, H, W], of one
    group and not dilated in width; k is then the width of the kernel, as is the divisor.
    """

    pixels: int
    vectors: int
    activation: Activation = NONE
    residual: bool = False
    panels_outside: bool = False
    columns: int = 0
    divisor: int = 1
    step: int = 0
    single: bool = False
    planar: bool = False

    name: ClassVar[str] = "convolution_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        names = ["x", "weight", "bias", *["residual"] * self.residual, "result", "workspace"]
        return dict.fromkeys(names, DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return (
            *("rows", "result_height", "result_width", "n"),
            *("height", "width", "c", "groups", "group_c", "group_n"),
            *("kernel_height", "segments", "k", "extent_height", "span"),
            *("stride_height", "stride_width", "dilation_height", "dilation_width", "top", "left"),
            *("wide", "narrow"),
        )

    def some_rows(self, sizes: Sizes, height: int, first: int, last: int) -> Rows | None:
        stride, extent = sizes["stride_height"], sizes["extent_height"]
        made = Rows.of_windows(sizes, first, last, stride=stride, extent=extent, top="top")
        made = replace(made, sizes={**made.sizes, "rows": last - first})
        return replace(made, first=0, last=sizes["c"]) if self.planar else made

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        if self.single:
            n = {**n, **dict.fromkeys(("groups", "segments", "wide"), e.index(1)), "narrow": e.index(0)}
        panels = n["wide"] + n["narrow"]
        if self.panels_outside:
            first, last = share(e, panels, n)
            with e.loop(0, n["groups"]) as group:
                self._group(e, p, n, group.index, first, last, lambda tile: self._tiles(e, p, n, 0, n["rows"], tile))
            return

        def all_panels(windows: _Windows) -> None:
            with e.loop(0, n["groups"]) as group:
                self._group(e, p, n, group.index, 0, panels, lambda tile: tile(windows))

        self._tiles(e, p, n, *share(e, n["rows"], n), all_panels)

    def _tiles(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], first: Number, last: Number, body: _Tile
    ) -> None:
        """`body(windows)` for the tiles of some rows of the result."""
        staged = p["workspace"] + n["chunk"] * (n["kernel_height"] * n["span"] * n["c"] + e.isa.lanes)
        step, plane = (1 if self.planar else n["c"]), n["height"] * n["width"]
        with e.loop(first, last) as rows:
            image = p["x"] + rows.index // n["result_height"] * plane * n["c"]
            top = rows.index % n["result_height"] * n["stride_height"] - n["top"]
            bottom = top + n["extent_height"]
            with e.loop(0, n["result_width"], self.pixels) as columns:
                column = e.smaller(columns.index, n["result_width"] - self.pixels)
                left = column * n["stride_width"] - n["left"]
                right = left + n["span"]
                outside = e.either(top < 0, bottom > n["height"], left < 0, right > n["width"])
                staged_plane = n["kernel_height"] * n["span"]
                with e.when(outside), e.loop(0, n["c"] if self.planar else 1) as planes:
                    target = staged + planes.index * staged_plane
                    _stage(e, {**n, "c": e.index(step)}, image + planes.index * plane, top, left, target)
                start = e.choose_pointer(outside, staged, image + (top * n["width"] + left) * step)
                below = e.choose(outside, n["span"], n["dilation_height"] * n["width"]) * step
                distance = e.choose(outside, staged_plane, plane) if self.planar else e.index(0)
                body(_Windows(start, below, rows.index * n["result_width"] + column, distance))

    def _group(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        group: Index,
        first: Number,
        last: Number,
        body: Callable[[_Tile], None],
    ) -> None:
        """`body(tile)` for some panels of a group; `tile(windows)` emits a tile of it."""
        features = n["group_n"]
        depth = n["kernel_height"] * n["segments"] * n["k"]
        if self.planar:
            depth = depth * n["c"]
        width = (n["wide"] * self.vectors + n["narrow"] * (self.vectors - 1)) * e.isa.lanes

        def panel(column: Index, vectors: int) -> None:
            def tile(windows: _Windows) -> None:
                x = windows.start + group * n["group_c"]
                weight = p["weight"] + (group * width + column) * depth
                sums = (self._sums_of_planes if self.planar else self._sums)(e, n, x, windows, weight, vectors)
                place = windows.pixel * n["n"] + group * features
                finish_tile(
                    e,
                    sums,
                    column,
                    features,
                    bias=p["bias"] + group * features,
                    residual=p["residual"] + place if self.residual else None,
                    result=p["result"] + place,
                    row_length=n["n"],
                    activation=self.activation,
                    columns=self.columns,
                )

            body(tile)

        each_panel(e, self.vectors, n["wide"], first, last, panel)

    def _sums(
        self, e: Emitter, n: Mapping[str, Index], x: Pointer, windows: _Windows, weight: Pointer, vectors: int
    ) -> list[list[Vector]]:
        k, width = n["k"], vectors * e.isa.lanes
        step: Number = self.step or n["stride_width"] * n["c"]
        with e.loop(0, n["kernel_height"], carried=[e.constant(0, e.isa.lanes)] * (self.pixels * vectors)) as row:
            with e.loop(0, n["segments"], carried=row.values) as segment:
                start = x + row.index * windows.below + segment.index * n["dilation_width"] * n["c"]
                pixels = [start + step * i for i in range(self.pixels)]
                taps = weight + (row.index * n["segments"] + segment.index) * (k * width)
                segment.values = add_products(e, pixels, taps, k, segment.values, self.divisor)
            row.values = segment.values
        return [row.values[i * vectors : (i + 1) * vectors] for i in range(self.pixels)]

    def _sums_of_planes(
        self, e: Emitter, n: Mapping[str, Index], x: Pointer, windows: _Windows, weight: Pointer, vectors: int
    ) -> list[list[Vector]]:
        """A kernel row of a plane is in one piece of code; windows overlap there, of which LLVM must not make use: it
        would keep the elements they share in registers it lacks."""
        width = vectors * e.isa.lanes
        step: Number = self.step or n["stride_width"]
        with e.loop(0, n["c"], carried=[e.constant(0, e.isa.lanes)] * (self.pixels * vectors)) as plane:
            with e.loop(0, n["kernel_height"], carried=plane.values, unroll=1) as row:
                start = x + plane.index * windows.plane + row.index * windows.below
                taps = weight + (plane.index * n["kernel_height"] + row.index) * (self.divisor * width)
                for k in range(self.divisor):
                    first = e.opaque_pointer(start + k)
                    pixels = [first + step * i for i in range(self.pixels)]
                    row.values = add_products(e, pixels, taps + k * width, 1, row.values, 1)
            plane.values = row.values
        return [plane.values[i * vectors : (i + 1) * vectors] for i in range(self.pixels)]


@dataclass(frozen=True)
class _Windows:
    """Where the windows of a tile are: the first element, the distance of kernel rows, the first pixel they make, and
    the distance of planes, if there are any."""

    start: Pointer
    below: Index
    pixel: Index
    plane: Index


_Tile = Callable[[_Windows], None]


def _stage(e: Emitter, n: Mapping[str, Index], image: Pointer, top: Index, left: Index, staged: Pointer) -> None:
    """staged [kernel_height, span, c] = the windows of a tile, zero outside the image, and up to a vector behind."""
    lanes, length = e.isa.lanes, n["span"] * n["c"]
    first, last = e.larger(left, 0), e.smaller(left + n["span"], n["width"])
    with e.loop(0, n["kernel_height"]) as row:
        target, line = staged + row.index * length, top + row.index * n["dilation_height"]
        with e.loop(0, length, lanes) as zeros:
            e.store(e.constant(0, lanes), target + zeros.index)
        with e.when(line >= 0), e.when(line < n["height"]):
            source = image + (line * n["width"] + first) * n["c"]
            _copy(e, source, target + (first - left) * n["c"], (last - first) * n["c"])


def _copy(e: Emitter, source: Pointer, target: Pointer, count: Index) -> None:
    lanes = e.isa.lanes
    with e.when(count >= lanes), e.loop(0, count, lanes) as loop:
        at = e.smaller(loop.index, count - lanes)
        e.store(e.load(source + at, lanes), target + at)
    with e.when(count < lanes), e.loop(0, count) as loop:
        e.store(e.load(source + loop.index, 1), target + loop.index)
