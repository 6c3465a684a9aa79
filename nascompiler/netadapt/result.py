"""What an adaptation has found: the family of networks along the way, and the last one after its long training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nascompiler.backends.errors import GateError
from nascompiler.ir import UsageError
from nascompiler.netadapt.budgets import SIZES, amount_text, within
from nascompiler.netadapt.folder import Folder
from nascompiler.netadapt.records import Final, Iteration, Start, final_of, iterations_of, start_of
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.search.study import Study


@dataclass(frozen=True)
class LayerWidth:
    """Channels of something that can shrink, before and after."""

    name: str
    sort: str
    before: int
    after: int


@dataclass(frozen=True)
class AdaptResult:
    """An adaptation as it stands; `iterations` begins with the network as it was given."""

    folder: Folder
    settings: AdaptSettings
    start: Start
    iterations: Sequence[Iteration]
    final: Final | None

    @classmethod
    def of(cls, study: Study) -> AdaptResult:
        """Raises StudyError for a study of something else, UsageError for one in which nothing is decided yet."""
        settings = AdaptSettings.from_json(study.settings)
        start, iterations = start_of(study), iterations_of(study)
        if start is None or not iterations:
            raise UsageError(f"{study.path} was only begun: there is nothing to show yet")
        return cls(Folder(study.path.parent), settings, start, iterations, final_of(study))

    @property
    def last(self) -> Iteration:
        return self.iterations[-1]

    @property
    def path(self) -> Path:
        """The network: after its long training where there was one."""
        return self.folder.network(self.last.number) if self.final is None else self.folder.final

    @property
    def meets_budgets(self) -> bool:
        return within(self.last.values, self.start.bounds)

    @property
    def widths(self) -> list[LayerWidth]:
        """Channels before and after of everything that can shrink, in the order of the network."""
        return [
            LayerWidth(
                each.name,
                each.sort.value,
                self.start.channels[each.groups[0]],
                self.last.channels[each.groups[0]],
            )
            for each in sorted(self.start.shrinkables, key=lambda each: each.groups[0])
        ]

    def latency_text(self, iteration: Iteration, resource: str) -> str:
        """What a network takes of a resource, and how that is known."""
        text = amount_text(resource, iteration.values[resource])
        if resource in SIZES:
            return text
        return f"{text} ({iteration.measured[resource].kind.value})" if resource in iteration.measured else text

    def check(self) -> None:
        """Raises GateError when a budget is missed."""
        if not self.meets_budgets:
            missed = ", ".join(
                f"{self.latency_text(self.last, name)} of {name}, asked for {amount_text(name, bound)}"
                for name, bound in self.start.bounds.items()
                if self.last.values[name] > bound
            )
            raise GateError(f"the budget was missed: the network after {self.last.number} iterations takes {missed}")

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder.path),
            "network": str(self.path),
            "settings": self.settings.to_json(),
            "bounds": dict(self.start.bounds),
            "meets_budgets": self.meets_budgets,
            "iterations": [
                {**iteration.to_json(), "network": str(self.folder.network(iteration.number))}
                for iteration in self.iterations
            ],
            "widths": [vars(width) for width in self.widths],
            "final": None if self.final is None else self.final.to_json(),
        }
