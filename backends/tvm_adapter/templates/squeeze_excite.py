"""Squeeze-and-excite in one call: pool, two small matrix products, and the scaling of every pixel.

Hu et al., Squeeze-and-Excitation Networks (2018), section 3; the hard gate as in MobileNetV3, section 5.2.
"""

from __future__ import annotations

from typing import Any

from tvm.tirx.script import builder as T

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.tiling import lane_pieces
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.templates import emit
from nascompiler.backends.tvm_adapter.templates.emit import Buffer, Expr
from nascompiler.backends.tvm_adapter.templates.pooling import mean

GROUP = 8
"""Vectors of a matrix product computed side by side."""


def generate(symbol: str, call: KernelCall, target: Target) -> Any:
    """The PrimFunc (x, w1, b1, w2, b2, result), weights as they are."""
    x_type, w1_type = call.operands[:2]
    batch, height, width, channels = x_type.static_shape
    squeezed = w1_type.static_shape[1]
    lanes = target.isa.lanes
    activation = ("clip", (0.0, 6.0)) if call["activation"] == "relu6" else (call["activation"], ())
    gate = (call["gate"], (call["alpha"], call["beta"]) if call["gate"] == "hard_sigmoid" else ())

    def body(x: Buffer, w1: Buffer, b1: Buffer, w2: Buffer, b2: Buffer, result: Buffer) -> None:
        pooled = T.alloc_buffer((channels,), "float32", scope="global")
        hidden = T.alloc_buffer((squeezed,), "float32", scope="global")
        scale = T.alloc_buffer((channels,), "float32", scope="global")

        def image(index: Expr) -> None:
            mean(x, pooled, x_type.static_shape, index, lanes, result_image=0)
            _vector_matrix(pooled, w1, b1, hidden, channels, squeezed, lanes, activation)
            _vector_matrix(hidden, w2, b2, scale, squeezed, channels, lanes, gate)
            with T.parallel(0, height) as row, T.serial(0, width) as column:
                pixel = ((index * height + row) * width + column) * channels

                def multiply(channel: Expr, n: int) -> None:
                    value = emit.load(x, pixel + channel, n) * emit.load(scale, channel, n)
                    emit.store(result, value, pixel + channel, n)

                emit.over_channels(channels, lanes, multiply)

        emit.serial(batch, image)

    return emit.prim_func(symbol, [*call.operands, call.result], body)


def _vector_matrix(
    vector: Buffer,
    matrix: Buffer,
    bias: Buffer,
    result: Buffer,
    inputs: int,
    outputs: int,
    lanes: int,
    activation: tuple[str, tuple[float, ...]],
) -> None:
    """result [outputs] = activation(vector [inputs] @ matrix [inputs, outputs] + bias [outputs])."""

    def block(start: Expr, pieces: tuple[int, ...]) -> None:
        offsets = [start + sum(pieces[:i]) for i in range(len(pieces))]
        sums = [emit.Accumulator(n, emit.splat(0.0, n)) for n in pieces]
        with T.serial(0, inputs) as k:
            value = emit.bind(vector[k])
            for total, offset in zip(sums, offsets, strict=True):
                total.add_product(emit.splat(value, total.lanes), emit.load(matrix, k * outputs + offset, total.lanes))
        for total, offset in zip(sums, offsets, strict=True):
            emit.store(
                result,
                emit.activate(
                    emit.held(total.value + emit.load(bias, offset, total.lanes), total.lanes), total.lanes, *activation
                ),
                offset,
                total.lanes,
            )

    width = GROUP * lanes
    if outputs >= width:
        emit.over_blocks(outputs, width, lambda start: block(start, (lanes,) * GROUP))
    else:
        block(0, lane_pieces(outputs, lanes))
