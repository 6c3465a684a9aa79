"""What the study of an adaptation keeps beside its trials, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nascompiler.netadapt.proposals import Proposal
from nascompiler.netadapt.shrinkable import Shrinkable
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.study import Study

Latencies = Mapping[str, TargetLatency]

START, FINAL = "start", "final"


@dataclass(frozen=True)
class Start:
    """The network as it is given: `values` are by table and the like, `measured` end to end where that can be.

    `bounds` are the budgets in numbers; `factors` what figures by table are multiplied by to be measured ones.
    """

    values: Mapping[str, float]
    measured: Latencies
    bounds: Mapping[str, float]
    factors: Mapping[str, float]
    shrinkables: Sequence[Shrinkable]
    channels: Sequence[int]

    def to_json(self) -> dict[str, Any]:
        return {
            "values": dict(self.values),
            "measured": _latencies_json(self.measured),
            "bounds": dict(self.bounds),
            "factors": dict(self.factors),
            "shrinkables": [each.to_json() for each in self.shrinkables],
            "channels": list(self.channels),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Start:
        return cls(
            data["values"],
            _latencies(data["measured"]),
            data["bounds"],
            data["factors"],
            tuple(map(Shrinkable.from_json, data["shrinkables"])),
            tuple(data["channels"]),
        )


@dataclass(frozen=True)
class Step:
    """The proposals of an iteration, which are the trials from number `first` on, and the goals that all of them meet.

    `part` is what it takes of the original; half of the schedule's where nothing could take that much.
    """

    iteration: int
    first: int
    part: float
    goals: Mapping[str, float]
    proposals: Sequence[Proposal]

    def to_json(self) -> dict[str, Any]:
        return {
            "iteration": self.iteration,
            "first": self.first,
            "part": self.part,
            "goals": dict(self.goals),
            "proposals": [proposal.to_json() for proposal in self.proposals],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        proposals = tuple(map(Proposal.from_json, data["proposals"]))
        return cls(data["iteration"], data["first"], data["part"], data["goals"], proposals)


@dataclass(frozen=True)
class Iteration:
    """What an iteration came to: the network after it. `trial` is None for number 0, the network as it is given.

    `values` is what it takes, latencies as `factors` make measured ones of those by table; `measured` where it was run
    whole. `channels` are the lengths of all groups.
    """

    number: int
    trial: int | None
    name: str
    accuracy: float
    values: Mapping[str, float]
    factors: Mapping[str, float]
    parameters: int
    macs: int
    channels: Sequence[int]
    proposals: int = 0
    duration_s: float = 0.0
    measured: Latencies = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        plain = {name: value for name, value in vars(self).items() if name != "measured"}
        lists = {"channels": list(self.channels), "values": dict(self.values), "factors": dict(self.factors)}
        return {**plain, **lists, "measured": _latencies_json(self.measured)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Iteration:
        return cls(**{**data, "channels": tuple(data["channels"]), "measured": _latencies(data["measured"])})


@dataclass(frozen=True)
class Final:
    """The network after the long training."""

    held_out_accuracy: float
    test_accuracy: float | None
    epochs: int
    duration_s: float

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Final:
        return cls(**data)


def start_of(study: Study) -> Start | None:
    found = study.record(START)
    return None if found is None else Start.from_json(found)


def step_of(study: Study, iteration: int) -> Step | None:
    """The proposals of an iteration, where they were made already."""
    found = study.record(f"step {iteration}")
    return None if found is None else Step.from_json(found)


def set_step(study: Study, step: Step) -> None:
    study.set_record(f"step {step.iteration}", step.to_json())


def set_iteration(study: Study, iteration: Iteration) -> None:
    study.set_record(f"iteration {iteration.number}", iteration.to_json())


def iterations_of(study: Study) -> list[Iteration]:
    """All that were decided, the network as it was given first."""
    found: list[Iteration] = []
    while (data := study.record(f"iteration {len(found)}")) is not None:
        found.append(Iteration.from_json(data))
    return found


def final_of(study: Study) -> Final | None:
    found = study.record(FINAL)
    return None if found is None else Final.from_json(found)


def _latencies_json(latencies: Latencies) -> dict[str, Any]:
    return {target: latency.to_json() for target, latency in latencies.items()}


def _latencies(data: Mapping[str, Any]) -> dict[str, TargetLatency]:
    return {target: TargetLatency.from_json(latency) for target, latency in data.items()}
