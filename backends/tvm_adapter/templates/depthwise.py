"""Depthwise convolution: a tile is some columns of one row by one vector of channels.

Nothing is padded: kernel rows are bounded at run time, kernel columns by a tile of its own at each edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm.tirx.script import builder as T

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.plans import DepthwisePlan, plan_depthwise
from nascompiler.backends.cpu.tiling import Columns
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.templates import emit
from nascompiler.backends.tvm_adapter.templates.emit import Buffer, Expr
from nascompiler.ir.types import TensorType


def generate(symbol: str, call: KernelCall, target: Target) -> Any:
    """The PrimFunc (x, weight as it is, bias, residual?, result)."""
    cut = plan_depthwise(call, target)
    x, weight, bias, *residual = call.operands
    types = [x, TensorType((weight.size,)), bias, *residual, call.result]

    def body(x: Buffer, weight: Buffer, bias: Buffer, *rest: Buffer) -> None:
        kernel = _Emitter(call, cut, x, weight, bias, rest[0] if len(rest) == 2 else None, rest[-1])
        rows = cut.window.batch * cut.window.output[0]
        if cut.channels_outside:
            emit.over_channels(
                cut.window.channels,
                target.isa.lanes,
                lambda channel, lanes: emit.serial(rows, lambda row: kernel.row(row, channel, lanes)),
                parallel=True,
            )
        else:
            with T.parallel(0, rows) as row:
                emit.over_channels(
                    cut.window.channels, target.isa.lanes, lambda channel, lanes: kernel.row(row, channel, lanes)
                )

    return emit.prim_func(symbol, types, body)


@dataclass
class _Emitter:
    call: KernelCall
    cut: DepthwisePlan
    x: Buffer
    weight: Buffer
    bias: Buffer
    residual: Buffer | None
    result: Buffer

    def row(self, row: Expr, channel: Expr, lanes: int) -> None:
        """Output row `row` (of all images) for `lanes` channels."""
        for part in self.cut.columns:
            emit.serial(part.repeats, self._tile_body(row, channel, lanes, part))

    def _tile_body(self, row: Expr, channel: Expr, lanes: int, part: Columns) -> Callable[[Expr], None]:
        return lambda tile: self._tile(row, channel, lanes, part, emit.tile_start(part, tile))

    def _tile(self, row: Expr, channel: Expr, lanes: int, part: Columns, column: Expr) -> None:
        window = self.cut.window
        image, line = (0, row) if window.batch == 1 else (row // window.output[0], row % window.output[0])
        accumulators = [emit.Accumulator(lanes, emit.splat(0.0, lanes)) for _ in part.taps]
        top = line * window.strides[0] - window.padding[0]
        left = column * window.strides[1] - window.padding[1]
        origin = ((image * window.size[0] + top) * window.size[1] + left) * window.channels + channel

        def kernel_row(y: Expr) -> None:
            weights = {
                k: emit.bind(emit.load(self.weight, (y * window.kernel[1] + k) * window.channels + channel, lanes))
                for k in sorted({k for taps in part.taps for k in taps})
            }
            pixels: dict[int, Expr] = {}
            for position, taps in enumerate(part.taps):
                for k in taps:
                    place = position * window.strides[1] + k * window.dilation[1]
                    if place not in pixels:
                        at = origin + (y * window.dilation[0] * window.size[1] + place) * window.channels
                        pixels[place] = emit.bind(emit.load(self.x, at, lanes))
                    accumulators[position].add_product(pixels[place], weights[k])

        if window.padding[0] or window.padding[2]:
            first = emit.lower_bound(top, window.dilation[0])
            last = emit.upper_bound(top, window.dilation[0], window.size[0], window.kernel[0])
            with T.serial(first, last) as y:
                kernel_row(y)
        else:
            with T.serial(0, window.kernel[0]) as y:
                kernel_row(y)

        def place(pixel: Expr) -> Expr:
            return (row * window.output[1] + column + pixel) * window.features + channel

        residual = self.residual
        emit.finish(
            [[accumulator] for accumulator in accumulators],
            lambda _: emit.load(self.bias, channel, lanes),
            None if residual is None else lambda p, _: emit.load(residual, place(p), lanes),
            lambda value, p, _: emit.store(self.result, value, place(p), lanes),
            self.call["activation"],
            self.call["activation_parameters"],
        )
