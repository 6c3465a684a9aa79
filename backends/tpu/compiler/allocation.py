"""Places in the Unified Buffer for tensors that live for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nascompiler.backends.tpu.compiler.tensors import Tensor

MARGIN = 64
"""Bytes in front of every tensor that nobody uses: reading from the host begins at a multiple of 64."""


@dataclass(frozen=True)
class Life:
    """A tensor of `size` bytes that is in use from step `first` to step `last`, both included."""

    tensor: Tensor
    size: int
    first: int
    last: int


def allocate(lives: Sequence[Life], capacity: int, unit: int) -> Mapping[Tensor, int] | None:
    """Addresses, multiples of `unit`, such that tensors in use at the same time do not overlap; None where not found.

    The largest comes first, each to the lowest place that is free as long as it lives.
    """
    order = sorted(lives, key=lambda life: (-life.size, life.first, life.last))
    placed: list[tuple[int, int, Life]] = []
    addresses: dict[Tensor, int] = {}
    for life in order:
        needed = MARGIN + life.size
        taken = sorted((a, b) for a, b, other in placed if other.first <= life.last and life.first <= other.last)
        start = 0
        for begin, end in taken:
            if begin - start >= needed:
                break
            start = max(start, end)
        address = -(-(start + MARGIN) // unit) * unit
        start, end = address - MARGIN, address + life.size
        for begin, other_end in taken:  # rounding up may have run into the next one
            if begin < end and start < other_end:
                address = -(-(other_end + MARGIN) // unit) * unit
                start, end = address - MARGIN, address + life.size
        if end > capacity:
            return None
        placed.append((start, end, life))
        addresses[life.tensor] = address
    return addresses
