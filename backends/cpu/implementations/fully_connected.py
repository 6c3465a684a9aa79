"""Fully connected layers, and pointwise convolutions of few pixels, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, is_pointwise
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.columns import pack_columns
from nascompiler.backends.kernels.gemv import MOST_ROWS, Gemv
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array, TensorType

SHORT = ", three bytes a weight"
"""How variants with short weights are named, behind what they are otherwise."""

SHORT_LANES = 8
"""With shorter vectors it takes longer to make floats of short weights than to read the byte more."""

FAR = 8
"""Weights of at least an eighth of the second-level cache are hardly there when they are read again."""

CHUNK_BYTES = 1 << 16
"""Less than this is read sooner than another thread wakes up."""


@implements("cpu.conv2d", "cpu.linear")
def gemv(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """All rows at once, so that weights are read once: short ones where they come from afar, or floats."""
    x, weight, _, *residual = call.operands
    if call.op == "cpu.conv2d" and not is_pointwise(call):
        return ()
    k, n = weight.static_shape[-2:]
    rows = x.size // k
    if rows > MOST_ROWS:
        return ()
    lanes = target.isa.lanes

    def made(*, short: bool) -> Implementation:
        kernel = Gemv(
            isa=target.isa,
            rows=rows,
            activation=(call["activation"], call["activation_parameters"]),
            residual=bool(residual),
            columns=n if n < lanes else 0,
            short=short,
        )

        def constants(operands: Mapping[int, Array]) -> dict[str, Array]:
            matrix, bias = np.asarray(operands[1]).reshape(k, n), np.asarray(operands[2])
            return pack_columns("weight", matrix, bias, lanes, short=short)

        return Implementation(
            variant=f"gemv{SHORT * short}",
            kernel=kernel,
            operands={"x": 0, **({"residual": 3} if residual else {})},
            constants=constants,
            sizes={"n": n, "k": k},
            chunks=max(1, min(weight.bytes // CHUNK_BYTES, -(-n // lanes), CHUNKS)),
        )

    return with_short(made, [(weight, 1)], target)


def with_short(
    made: Callable[..., Implementation], weights: Sequence[tuple[TensorType, int]], target: Target
) -> list[Implementation]:
    """`made(short=...)`, with floats alone where the `weights`, operands by index, are few: they stay near.

    Weights that are not finite are left as floats.
    """
    floats = made(short=False)
    least, lanes = min(weight.bytes for weight, _ in weights), target.isa.lanes
    if lanes < SHORT_LANES or least * FAR < target.host.l2_bytes:
        return [floats]

    def suits(operands: Mapping[int, Array]) -> bool:
        return all(np.isfinite(operands[index]).all() for _, index in weights)

    return [replace(made(short=True), suits=suits, otherwise=floats), floats]
