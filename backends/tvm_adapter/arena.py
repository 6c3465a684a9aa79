"""Places in one block of memory for arrays that are needed for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nascompiler.backends.memory import ALIGNMENT


@dataclass(frozen=True)
class Need:
    """An array of so many bytes from step `first` to step `last`, both included."""

    bytes: int
    first: int
    last: int

    def meets(self, other: Need) -> bool:
        """Whether there is a step in which both are needed."""
        return self.first <= other.last and other.first <= self.last


def plan(needs: Sequence[Need]) -> tuple[list[int], int]:
    """The offset of each array, at a multiple of 64 bytes, and the bytes of the whole.

    Arrays go, the largest first, into the smallest gap between those that are needed at the same time (greedy by size,
    Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020, section 5.2).
    """
    placed: list[tuple[int, int, Need]] = []
    offsets = [0] * len(needs)
    for index in sorted(range(len(needs)), key=lambda i: -needs[i].bytes):
        need = needs[index]
        size = -(-need.bytes // ALIGNMENT) * ALIGNMENT
        end, best, least = 0, None, 0
        for start, stop, other in placed:
            if not need.meets(other):
                continue
            if start - end >= size and (best is None or start - end < least):
                best, least = end, start - end
            end = max(end, stop)
        offsets[index] = end if best is None else best
        placed.append((offsets[index], offsets[index] + size, need))
        placed.sort(key=lambda block: block[:2])
    return offsets, max((stop for _, stop, _ in placed), default=0)
