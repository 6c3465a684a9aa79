"""Chains of kernel calls stripe by stripe: of an image that exceeds the cache only some rows ever exist.

A stripe is some rows of the last result of a chain, and what they need of every result before. Rows that two stripes
need are computed twice, which is less than to fetch a whole image from behind the cache again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from nascompiler.backends.kernels.kernel import Rows
from nascompiler.backends.tvm_adapter.buffers import Buffer, KernelStep

RowRange = tuple[int, int]
"""The first row and the one behind the last."""

_LONGEST = 8
"""Calls of a chain."""

_MOST_STRIPES = 32

_STAYS, _FITS = 0.6, 0.5
"""The part of the second-level cache up to which an image is found there again, and that a stripe may take in all."""

_FETCHED_NS, _COMPUTED_NS = 0.07, 0.125
"""What a byte costs that does not stay in the cache, and one of a row that is computed again, as measured on Sapphire
Rapids: the kernels of large images make 8 GB/s."""


@dataclass(frozen=True)
class Piece:
    """A call of a kernel, or what it does for some `rows` of its result, from row `first` on.

    `kept` says for arrays of which only some rows exist which those are.
    """

    step: KernelStep
    chunks: int
    rows: Rows | None = None
    first: int = 0
    kept: Mapping[Buffer, RowRange] = field(default_factory=dict)

    @property
    def sizes(self) -> Sequence[int]:
        """The sizes that the kernel is given."""
        return self.step.sizes if self.rows is None else [self.rows.sizes[name] for name in self.step.kernel.sizes]

    def offset(self, pointer: str) -> int:
        """How many bytes behind the start of an array, or of the rows that are kept of it, a pointer points."""
        if self.rows is None or pointer not in ("x", "residual", "result"):
            return 0
        array, (_, height, *_) = self.step.pointers[pointer]
        row = self.rows.start if pointer == "x" else self.first
        return (row - self.kept.get(array, (0, 0))[0]) * (array.bytes // height)


@dataclass(frozen=True)
class Group:
    """Chains of pieces. One chain is shared by all threads, call by call; several are done side by side.

    `kept` says of arrays of which only some rows exist at a time how many do.
    """

    chains: tuple[tuple[Piece, ...], ...]
    kept: Mapping[Buffer, int] = field(default_factory=dict)

    @property
    def is_shared(self) -> bool:
        return len(self.chains) == 1


@dataclass(frozen=True)
class Cut:
    """Neighbouring calls from number `start` on, and for each stripe the rows of the results of all of them."""

    start: int
    stripes: tuple[tuple[RowRange, ...], ...]

    @property
    def stop(self) -> int:
        return self.start + len(self.stripes[0])


def groups_of(steps: Sequence[KernelStep], inner: frozenset[Buffer], l2_bytes: int, threads: int) -> list[Group]:
    """The calls of a run for so many threads; `inner` are the arrays that nothing outside of the run reads."""
    found: list[Group] = []
    done = 0
    for cut in [*_find_cuts(steps, inner, l2_bytes, threads), None]:
        before = steps[done : len(steps) if cut is None else cut.start]
        if before:
            found.append(Group((tuple(Piece(step, step.chunks) for step in before),)))
        if cut is not None:
            stripes = [tuple(_pieces(steps, cut, rows)) for rows in cut.stripes]
            one = (tuple(piece for stripe in stripes for piece in stripe),)
            found.append(Group(one if threads == 1 else tuple(stripes), _kept(steps, cut)))
            done = cut.stop
    return found


def _find_cuts(steps: Sequence[KernelStep], inner: frozenset[Buffer], l2_bytes: int, threads: int) -> list[Cut]:
    """The chains of calls that are worth cutting, which do not overlap."""
    cutter = _Cutter(steps, inner, l2_bytes, threads)
    gains: list[float] = [0.0]
    chosen: list[list[Cut]] = [[]]
    for stop in range(1, len(steps) + 1):
        gains.append(gains[-1])
        chosen.append(chosen[-1])
        for start in range(max(stop - _LONGEST, 0), stop - 1):
            found = cutter.cut(start, stop)
            if found is not None and gains[start] + found[0] > gains[stop]:
                gains[stop] = gains[start] + found[0]
                chosen[stop] = [*chosen[start], found[1]]
    return chosen[-1]


def _pieces(steps: Sequence[KernelStep], cut: Cut, ranges: Sequence[RowRange]) -> Iterator[Piece]:
    """The calls of a stripe with such rows of the results."""
    calls = steps[cut.start : cut.stop]
    results = [_result(step) for step in calls]
    kept = dict(zip(results[:-1], ranges, strict=False))
    for step, result, (first, last) in zip(calls, results, ranges, strict=True):
        height = result.shape[1]
        rows = step.kernel.some_rows(step.named_sizes, height, first, last)
        assert rows is not None, step
        yield Piece(step, max(step.chunks * (last - first) // height, 1), rows, first, kept)


def _kept(steps: Sequence[KernelStep], cut: Cut) -> dict[Buffer, int]:
    """How many rows exist at a time of the results of a cut chain, but for the last."""
    results = [_result(step) for step in steps[cut.start : cut.stop - 1]]
    return {
        result: max(last - first for first, last in ranges)
        for result, ranges in zip(results, zip(*cut.stripes, strict=True), strict=False)
    }


def _result(step: KernelStep) -> Buffer:
    return step.pointers["result"][0]


class _Cutter:
    """Tries chains of calls, each of which reads the result of the one before."""

    def __init__(self, steps: Sequence[KernelStep], inner: frozenset[Buffer], l2_bytes: int, threads: int) -> None:
        self.steps, self.inner, self.l2_bytes, self.threads = steps, inner, l2_bytes, threads
        self.results = [_result(step) for step in steps]
        self.last_reader = {array: number for number, step in enumerate(steps) for array, _ in step.read}
        self.fetched_ns = [self._fetched_ns(array) for array in self.results]

    def _fetched_ns(self, array: Buffer) -> float:
        """What it costs that an array does not stay in the cache."""
        return max(array.bytes / self.threads - _STAYS * self.l2_bytes, 0) * _FETCHED_NS

    def cut(self, start: int, stop: int) -> tuple[float, Cut] | None:
        """The chain from `start` to `stop` - 1 in the fewest stripes that fit, with what it gains in ns; or None."""
        between = range(start, stop - 1)
        if not self.fetched_ns[start] or not self.fetched_ns[stop - 2]:
            return None
        if not all(self._leads_on(number, stop) for number in between) or not self.results[stop - 1].is_image:
            return None
        height = self.results[stop - 1].shape[1]
        for count in range(max(self.threads, 2), min(height, _MOST_STRIPES) + 1, self.threads):
            bounds = [height * i // count for i in range(count + 1)]
            stripes = tuple(self._ranges(start, stop, rows) for rows in pairwise(bounds))
            if () in stripes:
                return None
            bytes = [self._bytes(start, ranges) for ranges in stripes]
            if max(bytes) <= _FITS * self.l2_bytes:
                again = sum(bytes) - sum(array.bytes for array in self.results[start:stop])
                gain = sum(self.fetched_ns[number] for number in between) - again * _COMPUTED_NS
                return (gain, Cut(start, stripes)) if gain > 0 else None
        return None

    def _leads_on(self, number: int, stop: int) -> bool:
        """Whether the next call reads the result of a call as an image, and all others before `stop` do or add it."""
        array, image = self.results[number], (self.results[number], self.results[number].shape)
        if not array.is_image or array not in self.inner or self.steps[number + 1].pointers.get("x") != image:
            return False
        readers = self.steps[number + 1 : self.last_reader[array] + 1]
        views = [(name, view) for step in readers for name, view in step.pointers.items() if view[0] is array]
        return self.last_reader[array] < stop and all(
            name in ("x", "residual") and view == image for name, view in views if name != "result"
        )

    def _ranges(self, start: int, stop: int, rows: RowRange) -> tuple[RowRange, ...]:
        """The rows of each result that a stripe needs whose last result has these `rows`; none without a kernel."""
        needed: dict[Buffer, RowRange] = {self.results[stop - 1]: rows}
        for number in reversed(range(start, stop)):
            step, result = self.steps[number], self.results[number]
            part = step.kernel.some_rows(step.named_sizes, result.shape[1], *needed[result])
            if part is None:
                return ()
            for name, (first, last) in (("x", (part.first, part.last)), ("residual", needed[result])):
                if name in step.pointers:
                    array = step.pointers[name][0]
                    low, high = needed.get(array, (first, last))
                    needed[array] = min(first, low), max(last, high)
        return tuple(needed[result] for result in self.results[start:stop])

    def _bytes(self, start: int, ranges: Sequence[RowRange]) -> int:
        """What the results of a stripe take together."""
        images = zip(self.results[start:], ranges, strict=False)
        return sum((last - first) * array.row_bytes for array, (first, last) in images)
