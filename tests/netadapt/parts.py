"""A small network, a target whose latencies are multiply-adds, and proposals that are judged without training."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nascompiler.backends.measure import Kind
from nascompiler.ir import Graph, files, graph_cost
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import channel_structure
from nascompiler.netadapt.budgets import parse_budgets
from nascompiler.netadapt.folder import Folder
from nascompiler.netadapt.loop import Adaptation, Progress
from nascompiler.netadapt.records import Iteration, Latencies
from nascompiler.netadapt.resources import resources_of
from nascompiler.netadapt.settings import AdaptSettings
from nascompiler.passes import run_pipeline
from nascompiler.passes.shrink_channels import chosen_channels
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.executors import InProcess
from nascompiler.search.interfaces import Evaluator
from nascompiler.search.study import Study
from nascompiler.search.trial import TrialSpec

SETTINGS = AdaptSettings(
    "small", "digits", ("toy",), parse_budgets(["0.6x"], [], ["toy"]), step=0.05, decay=0.98, multiple=4
)


def network(seed: int = 0) -> Graph:
    architecture = files.load(Path(__file__).with_name("small.nir"))
    return run_pipeline(architecture, f"expand-cells{{seed={seed},statistics=random}}")


class Toy:
    """A source of latencies on the made-up target `toy`: an overhead, and time for each multiply-add."""

    target = "toy"

    def __init__(self, overhead_ns: float = 1000.0) -> None:
        self._overhead_ns = overhead_ns
        self.asked = 0

    def latency(self, trial: TrialSpec) -> TargetLatency:
        self.asked += 1
        return TargetLatency(self._overhead_ns + (graph_cost(trial.graph).macs or 0) / 10, Kind.SIMULATED)


def cannot_run(graphs: Mapping[str, Graph], target: str) -> Latencies:
    return {}


class Judged:
    """Makes proposals as `ProposalTrainer` does, and judges them by their numbers of channels: no training."""

    def __init__(self, folder: Path, failing: Any = lambda trial: None) -> None:
        self._folder, self._failing = Folder(folder), failing

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        failure = self._failing(trial)
        if failure is not None:
            raise failure
        iteration, *pairs = trial.vector
        structure = channel_structure(self._folder.load(iteration))
        counts = dict(zip(pairs[::2], pairs[1::2], strict=True))
        graph = without_channels(structure, chosen_channels(structure, counts))
        if counts:
            files.save(graph, self._folder.proposal(trial.number))
        cost = graph_cost(graph)
        noise = zlib.crc32(str(trial.vector).encode()) % 1000 / 1e5
        return Evaluation(min(0.9, 0.5 + cost.params / 2e4 + noise), {}, cost.params, cost.macs or 0)


def adaptation(
    folder: Path,
    settings: AdaptSettings = SETTINGS,
    *,
    evaluator: Evaluator | None = None,
    source: Any = None,
    measure: Any = cannot_run,
    listener: Any = lambda progress: None,
    graph: Graph | None = None,
) -> list[Iteration]:
    """Begin the loop in a folder, or go on with it."""
    place = Folder(folder)
    begun = place.study.exists() and Study.has_begun(place.study)
    study = Study.resume(place.study) if begun else Study.create(place.study, settings.to_json())
    with study:
        study.begin_session({})
        if not place.network(0).exists():
            files.save(graph or network(), place.network(0))
        names = [budget.resource for budget in settings.budgets]
        sources = {name: source or Toy() for name in names if name not in ("params", "macs")}
        executor = InProcess(evaluator or Judged(folder))
        return Adaptation(settings, place, study, executor, resources_of(names, sources), measure, listener).run()


def said(iterations: list[Iteration]) -> list[Any]:
    """All of the iterations but how long they took."""
    return [{**iteration.to_json(), "duration_s": 0} for iteration in iterations]


def last(folder: Path) -> Graph:
    place, number = Folder(folder), 0
    while place.network(number + 1).exists():
        number += 1
    return place.load(number)


Reports = list[Progress]
