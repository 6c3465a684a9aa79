"""Fully connected layers, and pointwise convolutions of few pixels, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, is_pointwise
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.gemv import MOST_ROWS, Gemv
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array

CHUNK_BYTES = 1 << 16
"""Less than this is read sooner than another thread wakes up."""


@implements("cpu.conv2d", "cpu.linear")
def gemv(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """One way: all rows at once, so that weights are read once."""
    x, weight, _, *residual = call.operands
    if call.op == "cpu.conv2d" and not is_pointwise(call):
        return ()
    k, n = weight.static_shape[-2:]
    rows = x.size // k
    if rows > MOST_ROWS:
        return ()
    kernel = Gemv(
        isa=target.isa,
        rows=rows,
        activation=(call["activation"], call["activation_parameters"]),
        residual=bool(residual),
        columns=n if n < target.isa.lanes else 0,
    )

    def constants(operands: Mapping[int, Array]) -> dict[str, Array]:
        matrix, bias = np.asarray(operands[1]).reshape(k, n), np.asarray(operands[2])
        return pack_columns(matrix, bias, target.isa.lanes)

    return [
        Implementation(
            variant="gemv",
            kernel=kernel,
            operands={"x": 0, **({"residual": 3} if residual else {})},
            constants=constants,
            sizes={"n": n, "k": k},
            chunks=max(1, min(weight.bytes // CHUNK_BYTES, -(-n // target.isa.lanes), CHUNKS)),
        )
    ]


def pack_columns(weight: Array, bias: Array, lanes: int) -> dict[str, Array]:
    """`weight` [k, n] in panels of one vector and `bias` [n], as the matrix products of few rows read them."""
    panels = Panels.of(weight.shape[1], lanes, 1)
    assert panels is not None
    return {"weight": panels.pack(weight), "bias": np.pad(bias, (0, max(lanes - bias.size, 0)))}
