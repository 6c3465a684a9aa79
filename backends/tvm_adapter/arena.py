"""Places in one block of memory for arrays that are needed for a while."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from nascompiler.backends.memory import ALIGNMENT
from nascompiler.backends.tvm_adapter.buffers import Buffer
from nascompiler.backends.tvm_adapter.stripes import Group

ChainNumber = tuple[int, int]
"""The number of a group, and that of one of its chains."""


@dataclass(frozen=True)
class Need:
    """An array of so many bytes from step `first` to step `last`, both included."""

    bytes: int
    first: int
    last: int

    def meets(self, other: Need) -> bool:
        """Whether there is a step in which both are needed."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Block:
    """One block of memory: the bytes that all threads know, and behind them those that each thread has of its own.

    Chains that are done side by side have what nobody else needs in the memory of the thread that does them: `own` has
    the offsets there, by array and chain; `common` has the others.
    """

    common: Mapping[Buffer, int]
    own: Mapping[tuple[Buffer, ChainNumber], int]
    common_bytes: int
    own_bytes: int

    @classmethod
    def of(cls, groups: Sequence[Group], inner: Collection[Buffer]) -> Block:
        """For the `inner` arrays of some groups of chains."""
        bytes = {array: array.bytes for array in inner}
        common: dict[Buffer, list[int]] = {}
        own: dict[ChainNumber, dict[Buffer, list[int]]] = {}
        start = 0
        for g, group in enumerate(groups):
            bytes |= {array: rows * array.row_bytes for array, rows in group.kept.items()}
            length = max(map(len, group.chains))
            for c, chain in enumerate(group.chains):
                for at, piece in enumerate(chain, start=start):
                    for name, (array, _) in piece.step.pointers.items():
                        if array not in inner:
                            continue
                        if group.is_shared:
                            common.setdefault(array, []).append(at)
                        elif name == "workspace" or array in group.kept:
                            own.setdefault((g, c), {}).setdefault(array, []).append(at)
                        else:  # steps of chains that are done side by side come in no order
                            common.setdefault(array, []).extend((start, start + length - 1))
            start += length

        def planned(steps: Mapping[Buffer, list[int]]) -> tuple[dict[Buffer, int], int]:
            offsets, size = plan([Need(bytes[array], min(at), max(at)) for array, at in steps.items()])
            return dict(zip(steps, offsets, strict=True)), size

        common_offsets, common_bytes = planned(common)
        of_chains = {number: planned(steps) for number, steps in own.items()}
        return cls(
            common_offsets,
            {(array, number): at for number, (offsets, _) in of_chains.items() for array, at in offsets.items()},
            common_bytes,
            max((size for _, size in of_chains.values()), default=0),
        )


def plan(needs: Sequence[Need]) -> tuple[list[int], int]:
    """The offset of each array and the bytes of the whole, multiples of 64.

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
