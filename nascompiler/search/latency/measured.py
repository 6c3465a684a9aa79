"""Latencies by compiling and running: the architecture as a whole, on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.latency.end_to_end import ROUNDS, SECONDS, WORKER, NetworkTimer
from nascompiler.search.trial import TrialSpec


class MeasuredLatency:
    """Compiles and times each architecture, in a process that lives on from one to the next: a source of latencies."""

    def __init__(
        self, target: str = "cpu", *, rounds: int = ROUNDS, seconds: float = SECONDS, command: Sequence[str] = WORKER
    ) -> None:
        self.target = target
        self._rounds, self._seconds = rounds, seconds
        self._timer = NetworkTimer(parse_target(target), command=command)

    def latency(self, trial: TrialSpec) -> TargetLatency:
        """The latency of a trial's architecture; raises TrialFailure when it cannot be compiled or run."""
        return self.of(trial.graph)

    def of(self, graph: Graph) -> TargetLatency:
        """The latency of an architecture or a network; raises TrialFailure when it cannot be compiled or run."""
        try:
            self._timer.prepare("network", graph)
            return self._timer.measure(["network"], rounds=self._rounds, seconds=self._seconds)["network"].latency
        finally:
            self._timer.forget("network")

    def close(self) -> None:
        """End the process that measures."""
        self._timer.close()
