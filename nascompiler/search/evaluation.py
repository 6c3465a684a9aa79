"""What a trial finds out about an architecture: accuracy, latencies, size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nascompiler.backends.measure import Kind


@dataclass(frozen=True)
class TargetLatency:
    """The latency of one inference on a target.

    `ns` is a median over `repeats` runs and `spread_ns` their median absolute deviation; a prediction has 0 repeats,
    and its spread is the error to expect of it. `missing` counts the kernel calls of which nothing was known.
    """

    ns: float
    kind: Kind
    spread_ns: float = 0.0
    repeats: int = 0
    missing: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "ns": self.ns,
            "kind": self.kind.value,
            "spread_ns": self.spread_ns,
            "repeats": self.repeats,
            "missing": self.missing,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TargetLatency:
        return cls(data["ns"], Kind(data["kind"]), data["spread_ns"], data["repeats"], data["missing"])


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a child on held-out images, 0 to 1, and after each epoch of its training (`curve`).

    `details` is plain data: durations, the settings that were chosen, whatever a report may show.
    """

    value: float
    curve: tuple[float, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """What is known of an architecture after a trial.

    `accuracy` is None when a hard constraint was missed before training, which then was left out. `latencies` are by
    target. `parameters` and `macs` (multiply-adds) are those of the network at its full size. `curve` is the accuracy
    after each epoch. `details` is plain data.
    """

    accuracy: float | None
    latencies: Mapping[str, TargetLatency]
    parameters: int
    macs: int
    curve: tuple[float, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "latencies": {target: latency.to_json() for target, latency in self.latencies.items()},
            "parameters": self.parameters,
            "macs": self.macs,
            "curve": list(self.curve),
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        return cls(
            data["accuracy"],
            {target: TargetLatency.from_json(latency) for target, latency in data["latencies"].items()},
            data["parameters"],
            data["macs"],
            tuple(data["curve"]),
            data["details"],
        )
