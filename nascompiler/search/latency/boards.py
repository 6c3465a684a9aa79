"""Latencies on a board: the architecture compiled, sent and timed there as a whole."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.errors import DeviceCrashError, DeviceError, DeviceLostError, DeviceTimeOutError
from nascompiler.backends.measure import Kind
from nascompiler.backends.target import parse_target
from nascompiler.bench.session import random_arrays
from nascompiler.ir import Error, Graph
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.latency.lowering import network_of
from nascompiler.search.trial import TrialSpec

REPEATS = 15
REPEAT_MS = 100
"""So many times are taken, each the mean of as many runs as take so long."""

_CLASSES = {
    DeviceTimeOutError: FailureClass.TIME_OUT,
    DeviceCrashError: FailureClass.CRASH,
    DeviceLostError: FailureClass.DEVICE_LOST,
    DeviceError: FailureClass.DEVICE_LOST,
    Error: FailureClass.BUILD,
}
"""What a trial fails with, by the first class that an error is of."""


class BoardLatency:
    """Compiles each architecture and times it on a device, which nobody else uses meanwhile: a source of latencies."""

    def __init__(self, target: str, *, repeats: int = REPEATS, repeat_ms: int = REPEAT_MS) -> None:
        self.target = target
        self._parsed = parse_target(target)
        self._repeats, self._repeat_ms = repeats, repeat_ms

    def latency(self, trial: TrialSpec) -> TargetLatency:
        """The latency of a trial's architecture; raises TrialFailure when it cannot be compiled or run."""
        return self.of(trial.graph)

    def of(self, graph: Graph) -> TargetLatency:
        """The latency of an architecture or a network; raises TrialFailure when it cannot be compiled or run."""
        with tempfile.TemporaryDirectory(prefix="nascompiler-latency-") as folder:
            place = Path(folder) / "network"
            try:
                compile_graph(network_of(graph), self._parsed, place)
                artifact = load_artifact(place)
                artifact.prepare(random_arrays(artifact.manifest, seed=0))
                times = artifact.time_steps(self._repeats, self._repeat_ms)
            except Error as error:
                failure = next(made for kind, made in _CLASSES.items() if isinstance(error, kind))
                raise TrialFailure(failure, f"{self.target}: {error}") from None
        median = float(np.median(times))
        spread = float(np.median(np.abs(np.asarray(times) - median)))
        return TargetLatency(median, Kind.MEASURED, spread, len(times))
