"""The best of a search measured end to end: predicted beside measured, and which ranks are inside the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nascompiler.backends.measure import Kind
from nascompiler.backends.target import parse_target
from nascompiler.bench.comparison import SMALLEST_DIFFERENCE
from nascompiler.ir import Graph
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.failures import TrialFailure
from nascompiler.search.latency.end_to_end import WORKER, NetworkTimer, Timed
from nascompiler.search.latency.providers import latency_source, provider
from nascompiler.search.trial import TrialSpec

ROUNDS = 12
"""More than in a search: these are few, and they are compared."""


@dataclass(frozen=True)
class Candidate:
    """An architecture to measure, by any name, and what was thought of its latency."""

    name: str
    graph: Graph
    predicted: TargetLatency | None = None


@dataclass(frozen=True)
class Ranked:
    """A candidate with its latency end to end, or why there is none.

    `tied` says that it and the next faster one cannot be told apart: their difference is inside the noise.
    """

    name: str
    predicted: TargetLatency | None
    measured: TargetLatency | None
    tied: bool = False
    problem: str = ""

    @property
    def error(self) -> float | None:
        """Predicted over measured, less 1."""
        if self.predicted is None or self.measured is None:
            return None
        return self.predicted.ns / self.measured.ns - 1

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "predicted": None if self.predicted is None else self.predicted.to_json(),
            "measured": None if self.measured is None else self.measured.to_json(),
            "error": self.error,
            "tied_with_faster": self.tied,
            "problem": self.problem,
        }


def measure_top(
    candidates: Sequence[Candidate], target: str, *, rounds: int = ROUNDS, command: Sequence[str] = WORKER
) -> tuple[Ranked, ...]:
    """Run the candidates whole, in turns, the fastest first in the result; those that fail stand at the end.

    Raises UsageError for a target that cannot be run here.
    """
    found = provider(target)
    if Kind.MEASURED not in found.kinds or not _is_host(target):
        return _one_by_one(candidates, target)
    problems: dict[str, str] = {}
    timed: dict[str, Timed] = {}
    with NetworkTimer(parse_target(target), command=command) as timer:
        waiting = list(candidates)
        while waiting:
            candidate = waiting.pop(0)
            try:
                timer.prepare(candidate.name, candidate.graph)
            except TrialFailure as failure:  # a crash takes along what was prepared before
                problems[candidate.name] = str(failure)
                waiting = [c for c in candidates if c.name not in problems and not timer.holds(c.name)]
        ready = [candidate.name for candidate in candidates if timer.holds(candidate.name)]
        if ready:
            timed = timer.measure(ready, rounds=rounds)
    return ranked(candidates, timed, problems)


def ranked(
    candidates: Sequence[Candidate], timed: Mapping[str, Timed], problems: Mapping[str, str]
) -> tuple[Ranked, ...]:
    """The candidates by their measured latency, ties marked, those without one at the end."""
    predictions = {candidate.name: candidate.predicted for candidate in candidates}
    order = sorted(timed, key=lambda name: timed[name].latency.ns)
    rows = [
        Ranked(
            name,
            predictions[name],
            timed[name].latency,
            tied=place > 0 and not told_apart(timed[order[place - 1]], timed[name]),
        )
        for place, name in enumerate(order)
    ]
    rest = [Ranked(c.name, c.predicted, None, problem=problems.get(c.name, "")) for c in candidates]
    return (*rows, *(row for row in rest if row.name not in timed))


def told_apart(faster: Timed, slower: Timed) -> bool:
    """Whether the medians of rounds that were taken in turns differ by more than they do by chance.

    The noise is three median absolute deviations of the rounds' ratios, and at least `SMALLEST_DIFFERENCE`.
    """
    both = [
        b / a
        for a, b, lost in zip(
            faster.round_medians,
            slower.round_medians,
            (any(pair) for pair in zip(faster.disturbed, slower.disturbed, strict=True)),
            strict=True,
        )
        if not lost
    ]
    if len(both) < 3:
        return False
    ratio = float(np.median(both))
    spread = float(np.median(np.abs(np.asarray(both) - ratio)))
    return ratio - 1 > max(SMALLEST_DIFFERENCE, 3 * spread)


def _is_host(target: str) -> bool:
    return target.strip().split(":")[0].split("{")[0] == "cpu"


def _one_by_one(candidates: Sequence[Candidate], target: str) -> tuple[Ranked, ...]:
    """On a target of a package: by its most thorough source; simulations have no noise."""
    source = latency_source(target, measure=True)
    rows, failed = [], []
    for number, candidate in enumerate(candidates):
        try:
            latency = source.latency(TrialSpec(number, (), candidate.graph, 0))
            rows.append(Ranked(candidate.name, candidate.predicted, latency))
        except TrialFailure as failure:
            failed.append(Ranked(candidate.name, candidate.predicted, None, problem=str(failure)))
    rows.sort(key=lambda row: row.measured.ns if row.measured else 0.0)
    tied = [place > 0 and _inside(rows[place - 1], row) for place, row in enumerate(rows)]
    marked = [Ranked(r.name, r.predicted, r.measured, t) for r, t in zip(rows, tied, strict=True)]
    return (*marked, *failed)


def _inside(faster: Ranked, slower: Ranked) -> bool:
    a, b = faster.measured, slower.measured
    assert a is not None
    assert b is not None
    return b.ns - a.ns <= 3 * max(a.spread_ns, b.spread_ns)
