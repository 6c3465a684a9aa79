"""Convolution (dense and grouped) and matrix product: a register tile of pixels by channels, weights packed.

For every output row, panel of channels and tile of columns:

    accumulators[pixel][vector] = 0
    for kernel row that meets the image, kernel column, input channel:
        accumulators[pixel][vector] += input[pixel] * weight[vector]
    output = activation(accumulators + bias + residual)

Nothing is padded: kernel rows are bounded at run time, kernel columns by a tile of its own at each edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tvm.tirx.script import builder as T

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.plans import ConvolutionPlan, plan_convolution
from nascompiler.backends.cpu.tiling import Columns, Panel
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.templates import emit
from nascompiler.backends.tvm_adapter.templates.emit import Accumulator, Buffer, Expr
from nascompiler.ir.types import TensorType


def generate(symbol: str, call: KernelCall, target: Target) -> Any:
    """The PrimFunc (x, packed weight, bias, residual?, result)."""
    cut = plan_convolution(call, target)
    x, _, bias, *residual = call.operands
    types = [x, TensorType((cut.weight_size,)), bias, *residual, call.result]

    def body(x: Buffer, weight: Buffer, bias: Buffer, *rest: Buffer) -> None:
        _Emitter(call, cut, x, weight, bias, rest[0] if len(rest) == 2 else None, rest[-1]).emit()

    return emit.prim_func(symbol, types, body)


@dataclass
class _Emitter:
    call: KernelCall
    cut: ConvolutionPlan
    x: Buffer
    weight: Buffer
    bias: Buffer
    residual: Buffer | None
    result: Buffer

    def emit(self) -> None:
        """The loops around tiles; threads share the outermost, or panels, or tiles of a single row."""
        window = self.cut.window
        rows = window.batch * window.output[0]
        if self.cut.panels_outside:
            emit.serial(window.groups, partial(self._panels_outside, rows))
        elif rows == 1:
            for part in self.cut.columns:
                with T.parallel(0, part.repeats) as tile:
                    self._blocks(lambda *block, at=(0, part, tile): self._tile(*block, *at))
        else:
            with T.parallel(0, rows) as row:
                self._blocks(lambda *block: self._row(block, row))

    def _panels_outside(self, rows: int, group: Expr) -> None:
        for panel in self.cut.panels:
            with T.parallel(0, panel.repeats) as index:
                emit.serial(rows, partial(self._row, (group, panel, index)))

    def _blocks(self, body: Callable[[Expr, Panel, Expr], None]) -> None:
        """`body(group, panel, its number)` for all output channels."""

        def group(index: Expr) -> None:
            for panel in self.cut.panels:
                emit.serial(panel.repeats, partial(body, index, panel))

        emit.serial(self.cut.window.groups, group)

    def _row(self, block: tuple[Expr, Panel, Expr], row: Expr) -> None:
        for part in self.cut.columns:
            emit.serial(part.repeats, partial(self._tile, *block, row, part))

    def _tile(self, group: Expr, panel: Panel, block: Expr, row: Expr, part: Columns, tile: Expr) -> None:
        """One register tile: panel `block` of the group, tile `tile` of the columns of output row `row`."""
        window = self.cut.window
        inputs, outputs = self.cut.per_group
        offsets = [sum(panel.lanes[:i]) for i in range(len(panel.lanes))]
        channel = group * outputs + panel.start + block * panel.width
        column = emit.tile_start(part, tile)
        image, line = (0, row) if window.batch == 1 else (row // window.output[0], row % window.output[0])

        accumulators = [[Accumulator(n, emit.splat(0.0, n)) for n in panel.lanes] for _ in part.taps]

        top = line * window.strides[0] - window.padding[0]
        left = column * window.strides[1] - window.padding[1]
        origin = ((image * window.size[0] + top) * window.size[1] + left) * window.channels + group * inputs
        taps_per_panel = window.kernel[0] * window.kernel[1] * inputs
        start = (group * outputs + panel.start + block * panel.width) * taps_per_panel

        def kernel_row(y: Expr) -> None:
            for kernel_column in range(window.kernel[1]):
                pixels = [p for p, taps in enumerate(part.taps) if kernel_column in taps]
                if not pixels:
                    continue
                place = (y * window.dilation[0] * window.size[1] + kernel_column * window.dilation[1]) * window.channels
                weights = start + (y * window.kernel[1] + kernel_column) * inputs * panel.width
                with T.serial(0, inputs) as k:
                    vectors = [
                        emit.bind(emit.load(self.weight, weights + k * panel.width + o, n))
                        for n, o in zip(panel.lanes, offsets, strict=True)
                    ]
                    for pixel in pixels:
                        at = origin + place + pixel * window.strides[1] * window.channels + k
                        value = emit.bind(self.x[at])
                        for accumulator, vector in zip(accumulators[pixel], vectors, strict=True):
                            accumulator.add_product(emit.splat(value, accumulator.lanes), vector)

        if window.kernel[0] == 1 and not (window.padding[0] or window.padding[2]):
            kernel_row(0)
        elif not (window.padding[0] or window.padding[2]):
            with T.serial(0, window.kernel[0]) as y:
                kernel_row(y)
        else:
            first = emit.lower_bound(top, window.dilation[0])
            last = emit.upper_bound(top, window.dilation[0], window.size[0], window.kernel[0])
            with T.serial(first, last) as y:
                kernel_row(y)
        self._finish(accumulators, offsets, channel, (row * window.output[1] + column) * window.features + channel)

    def _finish(
        self, accumulators: Sequence[Sequence[Accumulator]], offsets: Sequence[int], channel: Expr, origin: Expr
    ) -> None:
        lanes = [accumulator.lanes for accumulator in accumulators[0]]

        def place(pixel: Expr, vector: int) -> Expr:
            return origin + pixel * self.cut.window.features + offsets[vector]

        residual = self.residual
        emit.finish(
            accumulators,
            lambda v: emit.load(self.bias, channel + offsets[v], lanes[v]),
            None if residual is None else lambda p, v: emit.load(residual, place(p, v), lanes[v]),
            lambda value, p, v: emit.store(self.result, value, place(p, v), lanes[v]),
            self.call["activation"],
            self.call["activation_parameters"],
        )
