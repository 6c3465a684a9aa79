"""Float32 inverted residuals in one pass: pointwise expansion, depthwise convolution, pointwise projection.

Of the expanded image only a ring of as many rows as the depthwise kernel has ever exists. It is kept block by block,
a block being the pixels of a row for one vector of channels, with zeros on both sides where the image is padded, so
that a depthwise tile reads neighbours at fixed distances and never meets an edge. A tile of the depthwise result goes
from the first-level cache into the projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.depthwise import Row, add_kernel_row
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer
from nascompiler.backends.kernels.gemm import each_panel, finish_tile, multiply_tile
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class InvertedResidual(Kernel):
    """result = activation(project(depthwise(expand(x))) + residual); each part adds its bias, the first two activate.

    x [images, height, width, c], expanded to `expanded` >= lanes channels, convolved with kernel x kernel at `stride`
    after zeros at `top` and `left`, projected to result [images, result_height, result_width, n]. Without
    `expand_vectors` x is only activated, and c = expanded; without `project_vectors` no projection and n = expanded.
    Expansion takes `rows` pixels at a time, the rest `pixels`; width >= rows, result_width >= pixels. `columns` is n
    where it is less than a vector, otherwise 0. Threads share rows of the result.

    Weights of the products are packed in panels, those of the depthwise convolution and the first two biases in panels
    of one vector. The workspace has `workspace_size` floats for each chunk.
    """

    kernel: int
    stride: int
    rows: int
    pixels: int
    expand_vectors: int
    project_vectors: int
    expand_activation: Activation = NONE
    depthwise_activation: Activation = NONE
    activation: Activation = NONE
    residual: bool = False
    columns: int = 0

    name: ClassVar[str] = "inverted_residual_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        expand = ["expand_weight", "expand_bias"] if self.expand_vectors else []
        project = ["project_weight", "project_bias"] if self.project_vectors else []
        names = ["x", *expand, "depthwise_weight", "depthwise_bias", *project]
        names += [*["residual"] * self.residual, "result", "workspace"]
        return dict.fromkeys(names, DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return (
            *("images", "height", "width", "c", "expanded", "n", "result_height", "result_width", "top", "left"),
            *("expand_wide", "expand_narrow", "project_wide", "project_narrow"),
        )

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        ring = _Ring.of(e, self, p["workspace"], n)
        ring.clear_borders(e, n)
        first, last = share(e, n["result_height"], n)
        with e.loop(0, n["images"]) as image, e.loop(first, last) as row:
            x = p["x"] + image.index * n["height"] * n["width"] * n["c"]
            start = row.index * self.stride - n["top"]
            missing = e.choose(row.index.equals(first), 0, self.kernel - self.stride)
            with e.loop(start + missing, start + self.kernel) as source:
                outside = source.index < 0, source.index >= n["height"]
                slot = ring.row(source.index)
                with e.when(e.either(*outside)):
                    _clear(e, slot, ring.size)
                with e.when(e.neither(*outside)):
                    self._expand(e, p, n, x + source.index * n["width"] * n["c"], slot + n["left"] * e.isa.lanes, ring)
            rows = [ring.row(start + i) for i in range(self.kernel)]
            at = (image.index * n["result_height"] + row.index) * n["result_width"]
            with e.loop(0, n["result_width"], self.pixels) as columns:
                column = e.smaller(columns.index, n["result_width"] - self.pixels)
                offset = column * (self.stride * e.isa.lanes)
                self._tile(e, p, n, [r + offset for r in rows], ring, at + column)

    def _expand(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], x: Pointer, slot: Pointer, ring: _Ring
    ) -> None:
        """The expansion of a row of x into a slot of the ring."""
        lanes = e.isa.lanes
        with e.loop(0, n["width"], self.rows) as pixels:
            pixel = e.smaller(pixels.index, n["width"] - self.rows)
            sources = [x + (pixel + i) * n["c"] for i in range(self.rows)]
            places = [slot + (pixel + i) * lanes for i in range(self.rows)]

            def panel(column: Index, vectors: int) -> None:
                sums = multiply_tile(e, sources, p["expand_weight"] + column * n["c"], n["c"], vectors)
                for v in range(vectors):
                    bias = e.load(p["expand_bias"] + column + v * lanes, lanes)
                    block = (column + v * lanes) * ring.width
                    for place, row in zip(places, sums, strict=True):
                        e.store(activate(e, row[v] + bias, self.expand_activation), place + block)

            if self.expand_vectors:
                panels = n["expand_wide"] + n["expand_narrow"]
                each_panel(e, self.expand_vectors, n["expand_wide"], 0, panels, panel)
            else:
                with e.loop(0, n["c"], lanes) as channels:
                    channel = e.smaller(channels.index, n["c"] - lanes)
                    for source, place in zip(sources, places, strict=True):
                        value = activate(e, e.load(source + channel, lanes), self.expand_activation)
                        e.store(value, place + channels.index * ring.width)

    def _tile(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        rows: Sequence[Pointer],
        ring: _Ring,
        pixel: Index,
    ) -> None:
        """Some neighbouring pixels of the result, `pixel` the first; `rows` are where their windows begin."""
        lanes, length = e.isa.lanes, n["expanded"]
        result = p["result"] + pixel * n["n"]
        depthwise = ring.end if self.project_vectors else result
        square, strides = (self.kernel, self.kernel), (self.stride, self.stride)
        tile = Row(square, strides, (1, 1), (0, 0), self.pixels, single=False, lanes=lanes)
        with e.loop(0, length, lanes) as channels:
            at = channels.index
            windows = [row + at * ring.width for row in rows]
            weight = p["depthwise_weight"] + at * self.kernel**2
            sums = [e.constant(0, lanes)] * self.pixels
            for y, window in enumerate(windows):
                kernel_row = weight + y * self.kernel * lanes
                sums = add_kernel_row(e, tile, window, lanes, kernel_row, tile.taps(first=False, last=False), sums)
            bias = e.load(p["depthwise_bias"] + at, lanes)
            place = depthwise + e.smaller(at, length - lanes)
            for i, total in enumerate(sums):
                e.store(activate(e, total + bias, self.depthwise_activation), place + length * i)
        if not self.project_vectors:
            return

        def panel(column: Index, vectors: int) -> None:
            weight = p["project_weight"] + column * length
            sums = multiply_tile(e, [depthwise + length * i for i in range(self.pixels)], weight, length, vectors)
            finish_tile(
                e,
                sums,
                column,
                n["n"],
                bias=p["project_bias"],
                residual=p["residual"] + pixel * n["n"] if self.residual else None,
                result=result,
                row_length=n["n"],
                activation=self.activation,
                columns=self.columns,
            )

        panels = n["project_wide"] + n["project_narrow"]
        each_panel(e, self.project_vectors, n["project_wide"], 0, panels, panel)


def workspace_size(kernel: InvertedResidual, sizes: Mapping[str, int]) -> int:
    """Floats of scratch memory that a chunk needs: the ring of rows and a tile of the depthwise result."""
    lanes = kernel.isa.lanes
    width = max(sizes["left"] + sizes["width"], (sizes["result_width"] - 1) * kernel.stride + kernel.kernel)
    blocks = -(-sizes["expanded"] // lanes)
    return kernel.kernel * width * blocks * lanes + kernel.pixels * sizes["expanded"]


@dataclass(frozen=True)
class _Ring:
    """As many rows of the expanded image as the kernel has, each of `size` floats: blocks of `width` vectors."""

    start: Pointer
    rows: int
    width: Index
    size: Index

    @classmethod
    def of(cls, e: Emitter, kernel: InvertedResidual, workspace: Pointer, n: Mapping[str, Index]) -> _Ring:
        """The ring of a chunk."""
        lanes, rows = e.isa.lanes, kernel.kernel
        width = e.index(e.larger(n["left"] + n["width"], (n["result_width"] - 1) * kernel.stride + rows))
        size = (n["expanded"] + (lanes - 1)) // lanes * lanes * width
        return cls(workspace + n["chunk"] * (size * rows + kernel.pixels * n["expanded"]), rows, width, size)

    @property
    def end(self) -> Pointer:
        return self.start + self.size * self.rows

    def row(self, source: Index) -> Pointer:
        """The slot of a row of the image, which may be as many rows above it as the kernel has."""
        return self.start + (source + self.rows) % self.rows * self.size

    def clear_borders(self, e: Emitter, n: Mapping[str, Index]) -> None:
        """Zeros left and right of the image in every block; rows keep them."""
        lanes = e.isa.lanes
        right = (n["left"] + n["width"]) * lanes
        with e.loop(0, self.size * self.rows, self.width * lanes) as block:
            _clear(e, self.start + block.index, n["left"] * lanes)
            _clear(e, self.start + block.index + right, self.width * lanes - right)


def _clear(e: Emitter, start: Pointer, count: Index) -> None:
    """Zeros in `count` elements, a multiple of a vector."""
    with e.loop(0, count, e.isa.lanes) as loop:
        e.store(e.constant(0, e.isa.lanes), start + loop.index)
