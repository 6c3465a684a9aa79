"""The latency table of a search space: what the store of measurements knows of its kernel calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.store import DISTURBED, Measurements, Row, Tuning
from nascompiler.backends.target import Target
from nascompiler.search.latency.collection import Collection

UNIT = "ns"


@dataclass(frozen=True)
class TableRow:
    """A kernel call of the space and the time of the variant that the compiler takes, in `unit`.

    `architectures` counts those that make the call among the ones looked at, `count` the runs that `median` and
    `spread` (median absolute deviation) are of. `disturbed`: there was no quiet moment to measure it in.
    """

    call: str
    op: str
    architectures: int
    variant: str
    count: int
    median: float
    spread: float
    device: str
    kind: str
    fresh: bool
    disturbed: bool
    unit: str = UNIT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class LatencyTable:
    """The calls of a space on a target, and the measurements there are of them."""

    collection: Collection
    target: Target
    known: Measurements

    def rows(self) -> Iterator[TableRow]:
        """What is known, the calls of most architectures first."""
        tunings = self._tunings()
        for key in self._by_count():
            row = used_row(self.collection.calls[key], self.target, tunings.get(key))
            if row is not None:
                tuning = tunings[key]
                yield TableRow(
                    key,
                    self.collection.calls[key].op,
                    self.collection.counts[key],
                    row.variant,
                    row.repeats,
                    row.median_ns,
                    row.spread_ns,
                    self.target.host.model,
                    tuning.kind.value,
                    tuning.fresh,
                    row.detail == DISTURBED,
                )

    def missing(self, *, disturbed: bool = False) -> list[str]:
        """The keys of calls without a measurement of today's kernels, those of most architectures first.

        With `disturbed`, those too that were not measured in quiet moments.
        """
        tunings = self._tunings()
        return [
            key
            for key in self._by_count()
            if not _settled(self.collection.calls[key], self.target, tunings.get(key), disturbed)
        ]

    def _by_count(self) -> list[str]:
        return sorted(self.collection.calls, key=lambda key: -self.collection.counts[key])

    def _tunings(self) -> dict[str, Tuning]:
        return self.known.tunings(self.collection.calls, self.target.timing_fingerprint)


def used_row(call: KernelCall, target: Target, tuning: Tuning | None) -> Row | None:
    """The row of the variant that the compiler takes, or None when none was measured."""
    if tuning is None:
        return None
    available = variants(call, target)
    return tuning.best(available, next(iter(available)))


def _settled(call: KernelCall, target: Target, tuning: Tuning | None, disturbed: bool) -> bool:
    """Whether there is nothing to gain from measuring: also when every variant failed."""
    if tuning is None or not tuning.fresh:
        return False
    row = used_row(call, target, tuning)
    if row is None:
        return {row.variant for row in tuning.rows} >= set(variants(call, target))
    return not (disturbed and row.detail == DISTURBED)
