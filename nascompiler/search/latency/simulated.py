"""Latencies on a TPU: the integer structure of an architecture, compiled and timed by the simulator."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from nascompiler.backends.measure import Kind
from nascompiler.backends.tpu.machine import parse_machine
from nascompiler.backends.tpu.timing import NetworkTiming, time_network
from nascompiler.ir import Error, Graph
from nascompiler.passes.quantization.structure import integer_structure
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.latency.lowering import network_of
from nascompiler.search.trial import TrialSpec


class SimulatedLatency:
    """Simulates each architecture in int8: a source of latencies, exact to the cycle, without values and without TVM.

    A network that is quantised already is taken as it is. The cycles are those of the TPU, with its transfers from and
    to the host; what the host computes itself is not in them.
    """

    def __init__(self, target: str = "tpu:v1") -> None:
        self.target = target
        self._machine = parse_machine(target)

    def latency(self, trial: TrialSpec) -> TargetLatency:
        """The latency of a trial's architecture; raises TrialFailure where it does not fit the machine."""
        return self.of(trial.graph)

    def of(self, graph: Graph) -> TargetLatency:
        """The latency of an architecture or a network; raises TrialFailure where there can be none."""
        found = self.timing(graph)
        return TargetLatency(1e9 * self._machine.seconds(found.cycles), Kind.SIMULATED)

    def timing(self, graph: Graph) -> NetworkTiming:
        """Cycles and counters of an architecture or a network; raises TrialFailure where there can be none."""
        try:
            with _uncollected():
                integer = graph
                if not any(node.op.dialect == "qnn" for node in graph.nodes):
                    integer = integer_structure(network_of(graph))
                found = time_network(integer, self._machine)
        except Error as error:
            raise TrialFailure(FailureClass.BUILD, f"cannot be compiled for {self.target}: {error}") from None
        if not found.runs:
            raise TrialFailure(FailureClass.BUILD, f"{self.target} computes no part of it: nothing to simulate")
        return found


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave the search for garbage until afterwards: it would take longer than the candidate does, as graphs make
    objects by the ten thousand that all are in use."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
