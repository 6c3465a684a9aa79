"""Latencies from a table: the sum of the kernel calls that an architecture makes."""

from __future__ import annotations

from math import inf

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.measure.timing import kernel_measurer
from nascompiler.backends.predict import predict, timed_calls
from nascompiler.backends.store import Measurements, known_measurements
from nascompiler.backends.target import parse_target
from nascompiler.ir import Error, Graph
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.latency.build import MeasurerFactory, measure_calls
from nascompiler.search.latency.collection import Collection
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.latency.table import LatencyTable
from nascompiler.search.trial import TrialSpec


class PredictedLatency:
    """Sums what the store of measurements knows of the calls of an architecture: a source of latencies.

    Calls that it lacks are measured then and kept, unless `complete` is False: then they are left out and counted.
    `error` is the mean error of such sums as a part of the latency, where it has been found out (see `check`).
    """

    def __init__(
        self,
        target: str = "cpu",
        *,
        complete: bool = True,
        error: float | None = None,
        known: Measurements | None = None,
        measurer: MeasurerFactory = kernel_measurer,
    ) -> None:
        self.target = target
        self._parsed = parse_target(target)
        self._complete = complete
        self._error = error
        self._known = known_measurements() if known is None else known
        self._measurer = measurer

    def latency(self, trial: TrialSpec) -> TargetLatency:
        """The prediction for the architecture of a trial; raises TrialFailure where there can be none."""
        return self.of(trial.graph)

    def of(self, graph: Graph) -> TargetLatency:
        """The prediction for an architecture or a network; raises TrialFailure where there can be none."""
        try:
            assigned = lowered(graph, self._parsed)
        except Error as error:
            raise TrialFailure(FailureClass.BUILD, f"cannot be lowered for {self.target}: {error}") from None
        found = predict(assigned, self._parsed, self._known)
        if found.missing and self._complete:
            self._measure(assigned, list(found.missing))
            found = predict(assigned, self._parsed, self._known)
        if self._error is None:  # what is known of it: the rows' own spread, as if all of them erred the same way
            spread = sum(self._spreads(assigned))
        else:
            spread = self._error * found.latency.median_ns
        return TargetLatency(found.latency.median_ns, found.latency.kind, spread, 0, len(found.missing))

    def _measure(self, graph: Graph, keys: list[str]) -> None:
        calls = {key: KernelCall.of(nodes[0]) for key, nodes in timed_calls(graph).items() if key in set(keys)}
        table = LatencyTable(Collection("", "", self._parsed.fingerprint, calls), self._parsed, self._known)
        try:
            measure_calls(table, keys, budget_s=inf, measurer=self._measurer)
        except Error as error:
            raise TrialFailure(FailureClass.DEVICE_LOST, str(error)) from None

    def _spreads(self, graph: Graph) -> list[float]:
        calls = timed_calls(graph)
        made = {key: KernelCall.of(nodes[0]) for key, nodes in calls.items()}
        table = LatencyTable(Collection("", "", self._parsed.fingerprint, made), self._parsed, self._known)
        return [row.spread * len(calls[row.call]) for row in table.rows()]
