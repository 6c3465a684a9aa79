"""Which of the architectures that were evaluated are the best, by what is known of them now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nascompiler.search.evaluation import Evaluation
from nascompiler.search.objective import Objective
from nascompiler.search.pareto import hypervolume, pareto_front
from nascompiler.search.study import FinalRecord, TrialRecord


@dataclass(frozen=True)
class Candidate:
    """An architecture that was evaluated, at its first trial; `measured` is what the end of the search found.

    `evaluation` has the measured latencies in place of those of the trial.
    """

    trial: TrialRecord
    evaluation: Evaluation
    reward: float
    meets_latency: bool
    measured: tuple[FinalRecord, ...] = ()

    @property
    def number(self) -> int:
        return self.trial.number


def candidates(
    records: Iterable[TrialRecord], objective: Objective, finals: Sequence[FinalRecord] = ()
) -> list[Candidate]:
    """What was trained and meets all hard constraints: those that meet the latency first, then by reward.

    What could not be run in the end is left out. Of equal ones the faster, then the earlier comes first.
    """
    by_trial: dict[int, list[FinalRecord]] = {}
    for final in finals:
        by_trial.setdefault(final.trial, []).append(final)
    found = []
    for record in records:
        if record.evaluation is None or record.evaluation.accuracy is None or record.repeats is not None:
            continue
        measured = by_trial.get(record.number, [])
        if any(final.problem for final in measured):
            continue
        evaluation = with_latencies(record.evaluation, measured) if measured else record.evaluation
        if not objective.missed(evaluation):
            meets = not objective.slower_than_wanted(evaluation)
            found.append(Candidate(record, evaluation, objective.reward(evaluation), meets, tuple(measured)))
    return sorted(found, key=_order)


def _order(candidate: Candidate) -> tuple[bool, float, float, int]:
    total_ns = sum(latency.ns for latency in candidate.evaluation.latencies.values())
    return (not candidate.meets_latency, -candidate.reward, total_ns, candidate.number)


def with_latencies(evaluation: Evaluation, finals: Sequence[FinalRecord]) -> Evaluation:
    """The evaluation with what was measured at the end."""
    return replace(
        evaluation, latencies={**evaluation.latencies, **{f.target: f.measured for f in finals if f.measured}}
    )


def front(found: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other one beats in accuracy and all latencies, by falling accuracy.

    Where no latency was taken, multiply-adds stand for it.
    """
    return [found[index] for index in pareto_front(costs(found))] if found else []


def costs(found: Sequence[Candidate]) -> np.ndarray:
    """[candidates, objectives]: -accuracy, then the latency on each target in ns, or multiply-adds."""
    return np.array([[-(c.evaluation.accuracy or 0.0), *_times(c.evaluation)] for c in found], float)


def _times(evaluation: Evaluation) -> list[float]:
    return [latency.ns for latency in evaluation.latencies.values()] or [float(evaluation.macs)]


def dominated_volume(found: Sequence[Candidate], reference: Mapping[str, float] | None = None) -> float:
    """The hypervolume of the front, as a part of the box between the ideal (accuracy 1, no time) and the worst point.

    That point has accuracy 0 and, on each target, the latency of `reference`, or the largest among the candidates.
    """
    if not found:
        return 0.0
    points = costs(found)
    targets = list(found[0].evaluation.latencies)
    worst = points[:, 1:].max(axis=0)
    if reference:
        worst = np.array([reference.get(t, w) for t, w in zip(targets, worst, strict=True)])
    scaled = np.column_stack([points[:, 0], points[:, 1:] / worst])
    return hypervolume(scaled, [0.0, *[1.0 + 1e-12] * len(worst)])
