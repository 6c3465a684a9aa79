"""All that a codesign is told, as its study keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from nascompiler.ir.errors import UsageError
from nascompiler.netadapt.budgets import Budget
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.search.errors import StudyError
from nascompiler.search.settings import SearchSettings

KIND = "codesign"


@dataclass(frozen=True)
class CodesignSettings:
    """See `nascompiler codesign --help`.

    The search aims at `slack` times the latency, and NetAdapt takes the rest. `first` is the recipe of the winner's
    training before NetAdapt, `train` that of the long training after it. `search` and `adapt` are further fields of
    `SearchSettings` and `AdaptSettings`.
    """

    space: str
    data: str
    target: str
    latency_ns: float
    first: Mapping[str, Any]
    train: Mapping[str, Any]
    slack: float = 1.25
    max_drop: float | None = None
    resolution: int | None = None
    seed: int = 0
    parallel: int = 1
    search: Mapping[str, Any] = field(default_factory=dict)
    adapt: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.slack <= 100:
            raise UsageError(f"slack is {self.slack:g}; accepted: numbers from 1 to 100")
        if not self.latency_ns > 0:
            raise UsageError(f"latency is {self.latency_ns:g} ns; accepted: a time above 0")
        self.search_settings()
        self.adapt_settings()

    def search_settings(self) -> SearchSettings:
        return SearchSettings(
            self.space,
            self.data,
            (self.target,),
            {self.target: self.slack * self.latency_ns},
            resolution=self.resolution,
            seed=self.seed,
            parallel=self.parallel,
            **self.search,
        )

    def adapt_settings(self) -> AdaptSettings:
        return AdaptSettings(
            "winner",
            self.data,
            (self.target,),
            (Budget(self.target, self.latency_ns),),
            resolution=self.resolution,
            seed=self.seed,
            parallel=self.parallel,
            train=None,
            **self.adapt,
        )

    def to_json(self) -> dict[str, Any]:
        return {"kind": KIND, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises StudyError for those of something else, or of another version."""
        if data.get("kind") != KIND:
            raise StudyError("this is no study of codesign")
        given = {name: value for name, value in data.items() if name != "kind"}
        if unknown := sorted(given.keys() - {f.name for f in fields(cls)}):
            raise StudyError(f"the settings of the study cannot be read: {', '.join(unknown)}")
        return cls(**given)
