"""What a study keeps of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.failures import FailureClass
from nascompiler.spaces import Vector


@dataclass(frozen=True)
class FailureRecord:
    """A failed attempt at a trial."""

    failure_class: FailureClass
    message: str
    duration_s: float = 0.0
    worker: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "class": self.failure_class.value,
            "message": self.message,
            "duration_s": self.duration_s,
            "worker": self.worker,
        }


@dataclass(frozen=True)
class TrialRecord:
    """A trial, by its `number` in the order of asking.

    `told_before` is how many trials the controller had been told of when it was asked for this one: with it, asks and
    tells can be replayed in their order. `told` is the reward that the controller got; None while the trial is under
    way. `repeats` is the number of an earlier trial of the same architecture, whose evaluation this one shares.
    """

    number: int
    vector: Vector
    seed: int
    told_before: int
    told: float | None = None
    evaluation: Evaluation | None = None
    failures: tuple[FailureRecord, ...] = ()
    repeats: int | None = None
    duration_s: float = 0.0
    worker: str = ""
    session: int = 0
    ended_at: str = ""

    @property
    def failure(self) -> FailureRecord | None:
        """The last failure, where the trial ended with it."""
        return self.failures[-1] if self.evaluation is None and self.failures and self.told is not None else None

    @property
    def status(self) -> str:
        """ "under way", "evaluated" or "failed"."""
        if self.told is None:
            return "under way"
        return "failed" if self.evaluation is None else "evaluated"

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "vector": list(self.vector),
            "seed": self.seed,
            "status": self.status,
            "told": self.told,
            "evaluation": None if self.evaluation is None else self.evaluation.to_json(),
            "failures": [failure.to_json() for failure in self.failures],
            "repeats": self.repeats,
            "duration_s": self.duration_s,
            "worker": self.worker,
            "session": self.session,
            "ended_at": self.ended_at,
        }


@dataclass(frozen=True)
class Checkpoint:
    """A controller's state between two trials: when it was asked for so many and told of so many."""

    asked: int
    told: int
    state: dict[str, Any]


@dataclass(frozen=True)
class SessionRecord:
    """A time during which the study was worked on: when it began (UTC, ISO 8601), by which versions."""

    number: int
    began_at: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class FinalRecord:
    """One of the best when it was measured end to end: beside it what the trial had found, or why there is no figure.

    `tied` says that it and the next faster one cannot be told apart.
    """

    trial: int
    target: str
    before: TargetLatency | None
    measured: TargetLatency | None
    tied: bool = False
    problem: str = ""

    @property
    def error(self) -> float | None:
        """The earlier figure over the measured one, less 1."""
        return None if self.before is None or self.measured is None else self.before.ns / self.measured.ns - 1

    def to_json(self) -> dict[str, Any]:
        return {
            "trial": self.trial,
            "target": self.target,
            "before": None if self.before is None else self.before.to_json(),
            "measured": None if self.measured is None else self.measured.to_json(),
            "error": self.error,
            "tied_with_faster": self.tied,
            "problem": self.problem,
        }
