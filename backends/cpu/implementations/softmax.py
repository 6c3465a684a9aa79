"""Softmax in float32."""

from __future__ import annotations

from collections.abc import Sequence

from nascompiler.backends.cpu.implementation import Implementation, as_they_are, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.pooling import vector_lanes
from nascompiler.backends.kernels.softmax import Softmax
from nascompiler.backends.target import Target

FEWEST_LANES = 4
"""Vectors so short are worth it where rows are a multiple of them, and not of longer ones."""

LONG = 256
"""What is left over at the end of rows so long does not count."""


@implements("cpu.softmax")
def softmax(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """One way: row by row."""
    (x,) = call.operands
    length = x.static_shape[-1]
    rows = x.size // length
    return [
        Implementation(
            variant="softmax",
            kernel=Softmax(isa=target.isa, lanes=_lanes(length, target.isa.lanes)),
            operands={"x": 0},
            constants=as_they_are({}),
            sizes={"rows": rows, "length": length},
            chunks=min(rows, CHUNKS),
        )
    ]


def _lanes(length: int, most: int) -> int:
    lanes = vector_lanes(length, most)
    fitting = lanes
    while fitting >= FEWEST_LANES and length % fitting:
        fitting //= 2
    return lanes if length >= LONG or fitting < FEWEST_LANES else fitting
