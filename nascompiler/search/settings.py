"""All that a search is told, as it is kept in its study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from nascompiler.ir.errors import UsageError
from nascompiler.search.constraints import parse_constraints
from nascompiler.search.controllers.catalogue import DEFAULT_PRESET
from nascompiler.search.errors import StudyError
from nascompiler.search.floors import FloorRule
from nascompiler.search.loop import Plan
from nascompiler.search.objective import Exponents, Objective

CHANGEABLE = ("trials", "parallel", "timeout_s", "attempts", "top")
"""What may differ when a study is resumed; all else would make trials that cannot be compared."""


@dataclass(frozen=True)
class SearchSettings:
    """See `nascompiler search --help`; `proxy` says how children are trained, None by the default for the data.

    `latency_ns` are the latencies to aim for, by target. With `measure` trials are timed on their targets, without it
    their latencies are predicted from the table. `give_up` is the quantile of `FloorRule`; `top` architectures are
    measured end to end when the search ends.
    """

    space: str
    data: str
    targets: tuple[str, ...] = ()
    latency_ns: Mapping[str, float] = field(default_factory=dict)
    objective: str = "soft"
    constraints: tuple[str, ...] = ()
    trials: int = 100
    controller: str = "evolution"
    preset: str = DEFAULT_PRESET
    seed: int = 0
    resolution: int | None = None
    proxy: Mapping[str, Any] | None = None
    measure: bool = True
    parallel: int = 1
    timeout_s: float | None = None
    attempts: int = 3
    give_up: float = 0.0
    top: int = 5

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises StudyError for data of another version."""
        known = {f.name for f in fields(cls)}
        try:
            tuples = {name: tuple(data[name]) for name in ("targets", "constraints")}
            if unknown := sorted(data.keys() - known):
                raise KeyError(", ".join(unknown))
            return cls(**{**data, **tuples})
        except (KeyError, TypeError) as error:
            raise StudyError(f"the settings of the study cannot be read: {error}") from None

    def resumed_with(self, other: Mapping[str, Any]) -> Self:
        """These settings with those of `other` that were given (not None).

        Raises UsageError for what may not change.
        """
        given = {name: value for name, value in other.items() if value is not None}
        wrong = [
            f"{name} is {getattr(self, name)!r} in the study and {value!r} now"
            for name, value in given.items()
            if name not in CHANGEABLE and getattr(self, name) != value
        ]
        if wrong:
            raise UsageError(f"a resumed search keeps its settings: {'; '.join(wrong)}; leave them out, or begin anew")
        return replace(self, **{name: value for name, value in given.items() if name in CHANGEABLE})

    def objective_of(self) -> Objective:
        """Raises UsageError, also for constraints and latencies that name no target."""
        unknown = [target for target in self.latency_ns if target not in self.targets]
        if unknown:
            raise UsageError(f"a latency is given for {', '.join(unknown)}; the targets are: {', '.join(self.targets)}")
        exponents = Exponents.parse(self.objective)
        return Objective(exponents, dict(self.latency_ns), parse_constraints(self.constraints, self.targets))

    def plan(self) -> Plan:
        return Plan(
            self.controller,
            self.preset,
            self.seed,
            self.trials,
            self.parallel,
            self.attempts,
            FloorRule(self.give_up),
        )
