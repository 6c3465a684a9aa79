"""The evaluator of a search: latencies first, then the accuracy of a trained child, if that can still matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nascompiler.ir import Graph, graph_cost
from nascompiler.passes import run_pipeline
from nascompiler.search.constraints import Constraint, missed, parse_constraints
from nascompiler.search.evaluation import Accuracy, Evaluation
from nascompiler.search.interfaces import AccuracySource, EvaluatorRecipe, LatencySource
from nascompiler.search.trial import TrialSpec


class ArchitectureEvaluator:
    """Size, latencies and accuracy of a trial's architecture.

    What misses a hard constraint already is not trained: its accuracy is None.
    """

    def __init__(
        self, accuracy: AccuracySource, latencies: Sequence[LatencySource], constraints: Sequence[Constraint]
    ) -> None:
        self._accuracy, self._latencies, self._constraints = accuracy, latencies, constraints

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        parameters, macs = size(trial.graph)
        untrained = Evaluation(None, {}, parameters, macs)
        # By size alone first: compiling and measuring takes longer than counting.
        if any(not c.holds(untrained) for c in self._constraints if c.quantity in ("params", "macs")):
            return untrained
        latencies = {source.target: source.latency(trial) for source in self._latencies}
        untrained = Evaluation(None, latencies, parameters, macs)
        if missed(self._constraints, untrained):
            return untrained
        found: Accuracy = self._accuracy.accuracy(trial)
        return Evaluation(found.value, latencies, parameters, macs, found.curve, found.details)


def size(graph: Graph) -> tuple[int, int]:
    """Parameters and multiply-adds of the network of an architecture."""
    cost = graph_cost(run_pipeline(graph, "expand-cells{statistics=random}"))
    return cost.params, cost.macs or 0


def recipe(
    data: str,
    proxy: Mapping[str, Any],
    targets: Sequence[str],
    *,
    space: str,
    measure: bool,
    constraints: Sequence[str],
) -> EvaluatorRecipe:
    """How workers make the evaluator that trains children on `data` and takes latencies on `targets`.

    `space` is the name under which errors of predictions are known.
    """
    arguments = {
        "data": data,
        "proxy": dict(proxy),
        "targets": list(targets),
        "space": space,
        "measure": measure,
        "constraints": list(constraints),
    }
    return EvaluatorRecipe(f"{__name__}:build", arguments)


def build(
    data: str,
    proxy: Mapping[str, Any],
    targets: Sequence[str],
    space: str,
    measure: bool,
    constraints: Sequence[str],
) -> ArchitectureEvaluator:
    """The evaluator, in a worker; raises UsageError and DataError where data, proxy and targets cannot be used."""
    from nascompiler.search.children.source import TrainedAccuracy
    from nascompiler.search.latency import latency_source

    return ArchitectureEvaluator(
        TrainedAccuracy(data, proxy),
        [latency_source(target, measure=measure, space=space) for target in targets],
        parse_constraints(constraints, targets),
    )
