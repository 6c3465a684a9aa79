"""A trial on its way: what is to be evaluated, and what became of it. Both travel between processes as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nascompiler.ir import Graph
from nascompiler.ir.text import parse, print_graph
from nascompiler.search.evaluation import Evaluation
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.spaces import Vector


@dataclass(frozen=True)
class TrialSpec:
    """An architecture to evaluate: its number in the study, decisions, closed graph at the arch level, and seed.

    The same specification gives the same evaluation wherever it runs, latencies measured apart. `floors` are the
    accuracies after each epoch below which a child is given up as hopeless; empty: none is.
    """

    number: int
    vector: Vector
    graph: Graph
    seed: int
    floors: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "vector": list(self.vector),
            "graph": print_graph(self.graph),
            "seed": self.seed,
            "floors": list(self.floors),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialSpec:
        graph = parse(data["graph"])
        return cls(data["number"], tuple(data["vector"]), graph, data["seed"], tuple(data["floors"]))


@dataclass(frozen=True)
class TrialOutcome:
    """What became of a trial: an evaluation or a failure, never both; where it ran, and how long it took."""

    number: int
    result: Evaluation | TrialFailure
    duration_s: float
    worker: str = ""

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"number": self.number, "duration_s": self.duration_s, "worker": self.worker}
        if isinstance(self.result, Evaluation):
            return data | {"evaluation": self.result.to_json()}
        return data | {"failure": {"class": self.result.failure_class.value, "message": str(self.result)}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialOutcome:
        result: Evaluation | TrialFailure
        if "evaluation" in data:
            result = Evaluation.from_json(data["evaluation"])
        else:
            result = TrialFailure(FailureClass(data["failure"]["class"]), data["failure"]["message"])
        return cls(data["number"], result, data["duration_s"], data["worker"])
