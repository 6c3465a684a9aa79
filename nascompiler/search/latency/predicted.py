"""Latencies from a table: the sum of the kernel calls that an architecture makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import inf

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.measure.timing import kernel_measurer
from nascompiler.backends.predict import known_row, predict, start_ns, stays_in_cache, timed_calls
from nascompiler.backends.store import Measurements, known_measurements
from nascompiler.backends.target import parse_target
from nascompiler.ir import Error, Graph
from nascompiler.ir.channels import ChannelStructure
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.latency.build import MeasurerFactory, measure_calls
from nascompiler.search.latency.collection import Collection
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.latency.narrowing import UNITS, PredictedNarrowing, narrowed_calls
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
        self._times: dict[tuple[str, bool], float] = {}
        self._units: Sequence[int] = UNITS

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

    def narrowing(self, structure: ChannelStructure) -> PredictedNarrowing | None:
        """Predictions for a network with fewer channels; None where each variant has to be lowered on its own."""
        made: list[Graph] = []

        def lower(graph: Graph) -> Graph:
            made.append(lowered(graph, self._parsed))
            return made[-1]

        calls = narrowed_calls(structure, lower, self._units)
        if calls is None:
            return None
        self._units = sorted(UNITS, key=lambda unit: unit != calls.unit)  # what served once is tried first
        warm = stays_in_cache(made[0], self._parsed)  # then narrower ones do too
        start = partial(start_ns, self._known, self._parsed)
        return PredictedNarrowing(calls, partial(self._call_times, warm=warm), start)

    def _call_times(self, calls: Mapping[str, KernelCall], *, warm: bool) -> dict[str, float]:
        """The time of each of some calls in ns, by key; what is not known is measured, or left out."""
        wanted = {key: call for key, call in calls.items() if (key, warm) not in self._times}
        for measured in (False, True):
            tunings = self._known.tunings(wanted, self._parsed.timing_fingerprint)
            for key, call in list(wanted.items()):
                row = known_row(call, self._parsed, tunings.get(key))
                if row is not None:
                    self._times[key, warm] = row.ns(warm=warm)
                    del wanted[key]
            if measured or not wanted or not self._complete:
                break
            self._measure_calls(wanted)
        return {key: self._times[key, warm] for key in calls if (key, warm) in self._times}

    def _measure(self, graph: Graph, keys: list[str]) -> None:
        self._measure_calls({k: KernelCall.of(nodes[0]) for k, nodes in timed_calls(graph).items() if k in set(keys)})

    def _measure_calls(self, calls: Mapping[str, KernelCall]) -> None:
        table = LatencyTable(Collection("", "", self._parsed.fingerprint, dict(calls)), self._parsed, self._known)
        try:
            measure_calls(table, list(calls), budget_s=inf, measurer=self._measurer)
        except Error as error:
            raise TrialFailure(FailureClass.DEVICE_LOST, str(error)) from None

    def _spreads(self, graph: Graph) -> list[float]:
        calls = timed_calls(graph)
        made = {key: KernelCall.of(nodes[0]) for key, nodes in calls.items()}
        table = LatencyTable(Collection("", "", self._parsed.fingerprint, made), self._parsed, self._known)
        return [row.spread * len(calls[row.call]) for row in table.rows()]
