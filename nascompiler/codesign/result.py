"""What each stage came to: accuracy and latency in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nascompiler.backends.errors import GateError
from nascompiler.codesign.settings import CodesignSettings
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.units import duration_text


@dataclass(frozen=True)
class StageResult:
    """A stage that has ended: the network it leaves in `file`, its accuracy on held-out and test images, its latency.

    `note` says how the accuracy came about; `details` is plain data.
    """

    name: str
    file: str
    held_out: float | None = None
    test: float | None = None
    latency: TargetLatency | None = None
    note: str = ""
    duration_s: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        plain = {**vars(self), "details": dict(self.details)}
        return {**plain, "latency": None if self.latency is None else self.latency.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StageResult:
        latency = data["latency"]
        return cls(**{**data, "latency": None if latency is None else TargetLatency.from_json(latency)})


@dataclass(frozen=True)
class CodesignResult:
    """A codesign as it stands."""

    folder: Path
    settings: CodesignSettings
    stages: Sequence[StageResult]

    @property
    def latency(self) -> TargetLatency | None:
        """That of the artifact."""
        return self.stages[-1].latency if self.stages else None

    @property
    def meets_latency(self) -> bool:
        return self.latency is not None and self.latency.ns <= self.settings.latency_ns

    def check(self) -> None:
        """Raises GateError when the artifact misses the latency that was asked for."""
        if not self.meets_latency:
            taken = "nothing was measured" if self.latency is None else f"it takes {_text(self.latency.ns)}"
            asked = f"{_text(self.settings.latency_ns)} on {self.settings.target}"
            raise GateError(f"the latency was missed: {taken}, asked for {asked}")

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "settings": self.settings.to_json(),
            "meets_latency": self.meets_latency,
            "stages": [stage.to_json() for stage in self.stages],
        }


def _text(ns: float) -> str:
    return duration_text(float(f"{ns:.4g}"))
