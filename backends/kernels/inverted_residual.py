"""Float32 inverted residuals in one pass: pointwise expansion, depthwise convolution, pointwise projection.

Of the expanded image only a ring of rows ever exists, and of the depthwise result a tile, which goes from the
first-level cache into the projection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer
from nascompiler.backends.kernels.gemm import each_panel, finish_tile, multiply_tile
from nascompiler.backends.kernels.kernel import Kernel, Rows, Sizes, share
from nascompiler.backends.kernels.pixel_pairs import finish_pairs, multiply_pairs, store_pairs
from nascompiler.backends.kernels.ring import Ring, Window
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class InvertedResidual(Kernel):
    """result = activation(project(depthwise(expand(x))) + residual); each part adds its bias, the first two activate.

    x [images, height, width, c], expanded to `expanded` >= lanes channels, convolved after zeros at `top` and `left`,
    projected to result [images, result_height, result_width, n]. Expansion takes `rows` <= width pixels at a time;
    `columns` is n where it is less than a vector, otherwise 0. Threads share rows of the result, each at least the
    height of the window.

    Weights of the products are packed in panels, those of the depthwise convolution and the first two biases in panels
    of one vector. Where n is an odd number of `halves` of a vector, the projection takes pixels in pairs, with weights
    packed for them, and the window has an even number of pixels. The workspace has `workspace_size` floats for each
    chunk.
    """

    window: Window
    rows: int
    expand_vectors: int
    project_vectors: int
    expand_activation: Activation = NONE
    depthwise_activation: Activation = NONE
    activation: Activation = NONE
    residual: bool = False
    columns: int = 0
    halves: int = 0

    name: ClassVar[str] = "inverted_residual_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        names = ["x", "expand_weight", "expand_bias", "depthwise_weight", "depthwise_bias"]
        names += ["project_weight", "project_bias"]
        return dict.fromkeys([*names, *["residual"] * self.residual, "result", "workspace"], DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return (
            *("images", "height", "width", "c", "expanded", "n", "result_height", "result_width", "top", "left"),
            *("expand_wide", "expand_narrow", "project_wide", "project_narrow"),
        )

    def workspace_size(self, sizes: Mapping[str, int]) -> int:
        """Floats of scratch memory that a chunk needs: the ring, and a tile of the depthwise result."""
        blocks = -(-sizes["expanded"] // self.isa.lanes)
        tile = self.window.height * self.window.pixels * sizes["expanded"]
        return self.window.ring_size(self.isa.lanes, blocks, sizes) + tile

    def some_rows(self, sizes: Sizes, height: int, first: int, last: int) -> Rows | None:
        made = Rows.of_windows(sizes, first, last, stride=self.window.stride, extent=self.window.kernel, top="top")
        return made if last - first >= self.window.height else None

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes, window = e.isa.lanes, self.window
        tile = n["expanded"] * (window.height * window.pixels)
        blocks = (n["expanded"] + (lanes - 1)) // lanes
        ring = Ring(e, window, n, lambda size: p["workspace"] + n["chunk"] * (size + tile), blocks)
        ring.clear_borders()
        with e.loop(0, n["images"]) as image:
            x = p["x"] + image.index * n["height"] * n["width"] * n["c"]

            def finish(row: Index, known: object, rows: Sequence[Pointer]) -> None:
                first = (image.index * n["result_height"] + row) * n["result_width"]
                with e.loop(0, n["result_width"], window.pixels) as columns:
                    column = e.index(e.smaller(columns.index, n["result_width"] - window.pixels))
                    offset = column * (window.stride * lanes)
                    self._tile(e, p, n, [r + offset for r in rows], ring, first + column)

            first, last = share(e, n["result_height"], n)
            ring.sweep(first, last, lambda fresh, stop: self._fill(e, p, n, x, ring, fresh, stop), finish)

    def _fill(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        x: Pointer,
        ring: Ring,
        first: Index,
        last: Index,
    ) -> None:
        """Expand some rows of an image into the ring."""

        def panel(column: Index, vectors: int) -> None:
            expand_panel(
                e,
                ring,
                (x, first, last, self.rows),
                p["expand_weight"] + column * n["c"],
                p["expand_bias"] + column,
                column * ring.width,
                vectors,
                self.expand_activation,
            )

        each_panel(e, self.expand_vectors, n["expand_wide"], 0, n["expand_wide"] + n["expand_narrow"], panel)

    def _tile(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        rows: Sequence[Pointer],
        ring: Ring,
        pixel: Index,
    ) -> None:
        """Neighbouring pixels of each row of a step, `pixel` the first; `rows` are where their windows begin."""
        lanes, length = e.isa.lanes, n["expanded"]
        depthwise = ring.start + ring.size
        with e.loop(0, length, lanes) as channels:
            at = channels.index
            weight = p["depthwise_weight"] + at * self.window.kernel**2
            bias = e.load(p["depthwise_bias"] + at, lanes)
            sums = ring.convolve([row + at * ring.width for row in rows], weight)
            values = [activate(e, total + bias, self.depthwise_activation) for line in sums for total in line]
            place = e.smaller(at, length - lanes)
            if self.halves:
                pairs = [depthwise + length * (2 * i) + place * 2 for i in range(len(values) // 2)]
                store_pairs(e, values, pairs)
            else:
                for i, value in enumerate(values):
                    e.store(value, depthwise + place + length * i)
        if self.halves:
            self._project_pairs(e, p, n, depthwise, pixel)
        else:
            self._project(e, p, n, depthwise, pixel)

    def _project(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], depthwise: Pointer, pixel: Index
    ) -> None:
        """The projection of a tile, panel by panel."""
        length, pixels = n["expanded"], self.window.pixels

        def panel(column: Index, vectors: int) -> None:
            with e.loop(0, self.window.height) as row:
                source = depthwise + row.index * (length * pixels)
                weight = p["project_weight"] + column * length
                sums = multiply_tile(e, [source + length * i for i in range(pixels)], weight, length, vectors)
                place = (pixel + row.index * n["result_width"]) * n["n"]
                finish_tile(
                    e,
                    sums,
                    column,
                    n["n"],
                    bias=p["project_bias"],
                    residual=p["residual"] + place if self.residual else None,
                    result=p["result"] + place,
                    row_length=n["n"],
                    activation=self.activation,
                    columns=self.columns,
                )

        panels = n["project_wide"] + n["project_narrow"]
        each_panel(e, self.project_vectors, n["project_wide"], 0, panels, panel)

    def _project_pairs(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], depthwise: Pointer, pixel: Index
    ) -> None:
        """The projection of a tile, all columns of pairs of its pixels."""
        length, (height, pixels) = n["expanded"], (self.window.height, self.window.pixels)
        pairs = [depthwise + length * (2 * i) for i in range(height * pixels // 2)]
        places = [(pixel + n["result_width"] * y + x) * n["n"] for y in range(height) for x in range(pixels)]
        finish_pairs(
            e,
            multiply_pairs(e, pairs, p["project_weight"], length, self.halves),
            p["project_bias"],
            [p["residual"] + place for place in places] if self.residual else None,
            [p["result"] + place for place in places],
            self.activation,
        )


def expand_panel(
    e: Emitter,
    ring: Ring,
    source: tuple[Pointer, Index, Index, int],
    weight: Pointer,
    bias: Pointer,
    offset: Number,
    vectors: int,
    activation: Activation,
) -> None:
    """Expand rows of an image to `vectors` vectors of channels, whose blocks begin `offset` behind those of the ring.

    `source` is the image, the first row and the one behind the last, and how many pixels make a tile. `weight` is a
    packed panel, `bias` has its vectors.
    """
    x, first, last, pixels = source
    lanes, c = e.isa.lanes, ring.n["c"]

    def tile(source: Pointer, place: Pointer) -> None:
        sums = multiply_tile(e, [source + c * i for i in range(pixels)], weight, c, vectors)
        for v in range(vectors):
            constant = e.load(bias + v * lanes, lanes)
            block = place + offset + ring.width * (v * lanes)
            for i, row in enumerate(sums):
                e.store(activate(e, row[v] + constant, activation), block + i * lanes)

    ring.each_tile(x, first, last, pixels, tile)
