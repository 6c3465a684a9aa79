"""What was measured, one JSON line each, and how much faster we are than the best of the others."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.peers.accuracy import Accuracy

OURS = "nascompiler"


@dataclass(frozen=True)
class Case:
    """One runtime on one network."""

    model: str
    peer: str
    dtype: str
    threads: int


@dataclass(frozen=True)
class Result:
    """Latencies in ms of single images over all bursts.

    `rounds_ms` has the median of each round's burst, None where other processes disturbed it; `peak_bytes` is the most
    memory held while serving, above that of the process at its start, None where the system does not tell.
    """

    case: Case
    version: str
    note: str
    median_ms: float
    p10_ms: float
    p90_ms: float
    runs: int
    dropped: int
    rounds_ms: tuple[float | None, ...]
    accuracy: Accuracy
    peak_bytes: int | None

    @property
    def spread_ms(self) -> float:
        """The median absolute deviation of the rounds' medians."""
        return spread([ms for ms in self.rounds_ms if ms is not None])

    def to_json(self) -> str:
        fields = asdict(self)
        return json.dumps({**fields.pop("case"), **fields.pop("accuracy"), **fields})


@dataclass(frozen=True)
class Failure:
    """A case that has no figures, and why."""

    case: Case
    reason: str

    def to_json(self) -> str:
        return json.dumps({**asdict(self.case), "error": self.reason})


@dataclass(frozen=True)
class Lead:
    """The time of the best other runtime over ours, by their medians: above 1, we are faster.

    `spread` is the median absolute deviation of the ratios of single rounds, in which both met the same conditions.
    """

    best: str
    ratio: float
    spread: float


def lead(results: Iterable[Result]) -> Lead | None:
    """Our lead among results of the same network, dtype and threads; None without ours or without others."""
    by_peer = {result.case.peer: result for result in results}
    ours = by_peer.pop(OURS, None)
    if ours is None or not by_peer:
        return None
    best = min(by_peer.values(), key=lambda result: result.median_ms)
    rounds = [
        theirs / own
        for theirs, own in zip(best.rounds_ms, ours.rounds_ms, strict=True)
        if theirs is not None and own is not None
    ]
    return Lead(best.case.peer, best.median_ms / ours.median_ms, spread(rounds))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Of ratios above 0, at least one."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def spread(values: Sequence[float]) -> float:
    """The median absolute deviation; nan for fewer than 3 values."""
    if len(values) < 3:
        return math.nan
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)
