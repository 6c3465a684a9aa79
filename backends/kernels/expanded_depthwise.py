"""Float32 pointwise expansion and the depthwise convolution behind it in one pass, with the means for a gate.

One panel of expanded channels comes after the other, each for the whole image: its ring of rows stays in the first
caches, and a thread that has a panel has its means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.inverted_residual import expand_panel
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.ring import Ring, Window
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class ExpandedDepthwise(Kernel):
    """result = activation(depthwise(expand_activation(expand(x)))), each with its bias; pooled has the means of result.

    x [images, height, width, c], result [images, result_height, result_width, expanded], pooled [images, expanded],
    expanded >= lanes. Expansion takes `rows` <= width pixels at a time. `overlaps` says that the last tile of a row or
    the last step of rows moves back over the one before. Threads share panels of expanded channels.

    The weights of the expansion are packed in panels, those of the depthwise convolution and the biases in panels of
    one vector. The workspace has `workspace_size` floats for each chunk.
    """

    window: Window
    rows: int
    vectors: int
    expand_activation: Activation = NONE
    activation: Activation = NONE
    overlaps: bool = False

    name: ClassVar[str] = "expanded_depthwise_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        names = ("x", "expand_weight", "expand_bias", "depthwise_weight", "depthwise_bias")
        return dict.fromkeys((*names, "result", "pooled", "workspace"), DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return (
            *("images", "height", "width", "c", "expanded", "result_height", "result_width", "top", "left"),
            *("wide", "narrow"),
        )

    def workspace_size(self, sizes: Mapping[str, int]) -> int:
        """Floats of scratch memory that a chunk needs: the ring of a panel, and its sums."""
        lanes = self.isa.lanes
        return self.window.ring_size(lanes, self.vectors, sizes) + self.vectors * lanes

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = e.isa.lanes
        room = self.vectors * lanes
        ring = Ring(e, self.window, n, lambda size: p["workspace"] + n["chunk"] * (size + room), self.vectors)
        sums = ring.start + ring.size
        ring.clear_borders()
        first, last = share(e, n["wide"] + n["narrow"], n)
        with e.loop(first, last) as panel, e.loop(0, n["images"]) as image:
            is_wide = panel.index < n["wide"]
            vectors = e.choose(is_wide, self.vectors, self.vectors - 1)
            column = (panel.index * (self.vectors - 1) + e.smaller(panel.index, n["wide"])) * lanes
            x = p["x"] + image.index * n["height"] * n["width"] * n["c"]

            def fill(first: Index, last: Index) -> None:
                for count, condition in ((self.vectors, is_wide), (self.vectors - 1, e.neither(is_wide))):
                    if count:
                        with e.when(condition):
                            expand_panel(
                                e,
                                ring,
                                (x, first, last, self.rows),
                                p["expand_weight"] + column * n["c"],
                                p["expand_bias"] + column,
                                0,
                                count,
                                self.expand_activation,
                            )

            def finish(row: Index, known: Number, rows: Sequence[Pointer]) -> None:
                with e.loop(0, vectors * lanes, lanes) as vector:
                    channel = column + vector.index
                    result = p["result"] + (image.index * n["result_height"] + row) * n["result_width"] * n["expanded"]
                    result = result + e.smaller(channel, n["expanded"] - lanes)
                    windows = [r + vector.index * ring.width for r in rows]
                    at = sums + vector.index
                    e.store(self._row(e, p, n, ring, windows, channel, result, known, e.load(at, lanes)), at)

            with e.loop(0, room, lanes) as vector:
                e.store(e.constant(0, lanes), sums + vector.index)
            ring.sweep(0, n["result_height"], fill, finish)
            pixels = e.convert(e.splat_index(n["result_height"] * n["result_width"], lanes), DType.F32)
            with e.loop(0, vectors * lanes, lanes) as vector:
                place = image.index * n["expanded"] + e.smaller(column + vector.index, n["expanded"] - lanes)
                e.store(e.load(sums + vector.index, lanes) / pixels, p["pooled"] + place)

    def _row(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        ring: Ring,
        windows: Sequence[Pointer],
        channel: Index,
        result: Pointer,
        known: Number,
        total: Vector,
    ) -> Vector:
        """A vector of channels for the rows of a step, `known` of them for the second time; `total` with their sum."""
        lanes, pixels = e.isa.lanes, self.window.pixels
        weight = p["depthwise_weight"] + channel * self.window.kernel**2
        bias = e.load(p["depthwise_bias"] + channel, lanes)
        with e.loop(0, n["result_width"], pixels, [total]) as columns:
            column = e.index(e.smaller(columns.index, n["result_width"] - pixels))
            (total,) = columns.values
            lines = ring.convolve([w + column * (self.window.stride * lanes) for w in windows], weight)
            for y, line in enumerate(lines):
                for i, value in enumerate(line):
                    value = activate(e, value + bias, self.activation)
                    e.store(value, result + (n["result_width"] * y + column + i) * n["expanded"])
                    if self.overlaps:
                        is_new = e.neither(column + i < columns.index, e.index(known) > y)
                        value = e.select(is_new.value, value, 0.0)
                    total = total + value
            columns.values = [total]
        return columns.values[0]
