"""Joins of sums in float32, and of bytes, along any axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod

from nascompiler.backends.cpu.implementation import Implementation, as_they_are, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.joined_sums import JoinedSums
from nascompiler.backends.target import Target
from nascompiler.ir.types import DType

MOST_ARRAYS = 16
"""More would not leave registers for their addresses."""

SMALL = 1 << 14
"""Elements below which handing parts to other threads costs more than it saves."""


@implements("cpu.joined_sums")
def joined_sums(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """One pass over all arrays; none for parts of few elements, which are no vectors."""
    terms: tuple[int, ...] = call["terms"]
    parts = [call.operands[last - 1].static_shape for last in accumulate(terms)]
    axis = call["axis"] % len(parts[0])
    rows, lengths = prod(parts[0][:axis]), [prod(part[axis:]) for part in parts]
    dtype = call.result.dtype
    lanes = target.isa.lanes * DType.F32.bytes // dtype.bytes
    while lanes > min(lengths):
        lanes //= 2
    if lanes < 4 or sum(terms) > MOST_ARRAYS:
        return ()
    kernel = JoinedSums(target.isa, terms, lanes, (call["activation"], call["activation_parameters"]), dtype)
    return [
        Implementation(
            variant="joined sums",
            kernel=kernel,
            operands={f"x{i}": i for i in range(sum(terms))},
            constants=as_they_are({}),
            sizes={"rows": rows, **{f"length{i}": length for i, length in enumerate(lengths)}},
            chunks=min(rows, CHUNKS) if call.result.size >= SMALL else 1,
        )
    ]
