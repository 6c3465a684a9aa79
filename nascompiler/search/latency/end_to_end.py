"""Networks compiled and timed whole on this machine, in another process, so that a crash there is a result here."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.measure import Kind
from nascompiler.backends.target import Target
from nascompiler.bench.turns import Worker
from nascompiler.ir import Graph
from nascompiler.ir.files import save
from nascompiler.ir.text import print_graph
from nascompiler.search.evaluation import TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure

WORKER = (sys.executable, "-m", "nascompiler.search.latency.network_worker")

ROUNDS = 6
SECONDS = 0.1
"""A measurement is so many rounds of about so many seconds each."""

PATIENCE_S = 2.0
"""How long a network waits for a quiet moment in each round."""

COMPILE_TIMEOUT_S = 900.0
MEASURE_TIMEOUT_S = 3600.0
"""Generous, since others may have the machine for a while: only a hang takes so long."""

_NETWORKS_PER_PROCESS = 500
"""Libraries stay loaded: a process that has seen so many ends, and a new one begins."""


@dataclass(frozen=True)
class Timed:
    """Single inferences of a network, ns, by the rounds in which they were taken in turns with other networks.

    `disturbed` says of each round whether there was no quiet moment in it.
    """

    rounds: tuple[tuple[float, ...], ...]
    disturbed: tuple[bool, ...]

    @property
    def round_medians(self) -> tuple[float, ...]:
        return tuple(float(np.median(taken)) for taken in self.rounds)

    @property
    def is_disturbed(self) -> bool:
        """Whether no round was quiet."""
        return all(self.disturbed)

    @property
    def latency(self) -> TargetLatency:
        """The median over all runs of quiet rounds, of all rounds where none was, with its spread."""
        quiet = [taken for taken, lost in zip(self.rounds, self.disturbed, strict=True) if not lost]
        runs = np.concatenate([np.asarray(taken) for taken in quiet or self.rounds])
        median = float(np.median(runs))
        return TargetLatency(median, Kind.MEASURED, float(np.median(np.abs(runs - median))), len(runs))


class NetworkTimer:
    """Compiles and times networks in a process of its own on one CPU; to be used in a `with` block."""

    def __init__(self, target: Target, *, command: Sequence[str] = WORKER) -> None:
        self._target = target
        self._command = command
        self._folder = tempfile.TemporaryDirectory(prefix="nascompiler-latency-")
        self._log = Path(self._folder.name) / "log.txt"
        self._worker: Worker | None = None
        self._prepared: dict[str, Path] = {}
        self._made = 0
        self._seen = 0

    def __enter__(self) -> NetworkTimer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process and forget all networks."""
        self._end()
        self._prepared.clear()
        self._folder.cleanup()

    def prepare(self, name: str, graph: Graph) -> int:
        """Compile an architecture or a network; returns its number of kernel calls.

        Raises TrialFailure when it cannot be compiled, and when the process crashes or hangs over it.
        """
        if self._seen >= _NETWORKS_PER_PROCESS and not self._prepared:
            self._end()
        folder = Path(self._folder.name) / "networks" / str(self._made)
        self._made += 1
        request = {"prepare": name, "folder": str(folder)}
        if graph.level == "arch":
            request["graph"] = print_graph(graph)
        else:
            path = Path(self._folder.name) / "graph.nir"
            save(graph, path)
            request["file"] = str(path)
        folder.parent.mkdir(exist_ok=True)
        reply = self._ask(request, "prepared", COMPILE_TIMEOUT_S)
        self._seen += 1
        if reply["problem"]:
            raise TrialFailure(FailureClass.BUILD, f"cannot be compiled for {self._target}: {reply['problem']}")
        self._prepared[name] = folder
        return int(reply["calls"])

    def measure(
        self, names: Sequence[str], *, rounds: int = ROUNDS, seconds: float = SECONDS, patience_s: float = PATIENCE_S
    ) -> dict[str, Timed]:
        """Time prepared networks in turns, in so many rounds of about so many seconds each.

        Raises TrialFailure when the process crashes or hangs.
        """
        request = {"measure": list(names), "rounds": rounds, "seconds": seconds, "patience_s": patience_s}
        reply = self._ask(request, "ns", MEASURE_TIMEOUT_S)
        return {name: Timed(tuple(map(tuple, reply["ns"][name])), tuple(reply["disturbed"][name])) for name in names}

    def profile(self, name: str, *, runs: int = 15) -> list[tuple[str, str, float]]:
        """Nodes, ops and median time in ns of each kernel call of a prepared network, with a clock around it."""
        reply = self._ask({"profile": name, "runs": runs}, "layers", MEASURE_TIMEOUT_S)
        return [(nodes, op, ns) for nodes, op, ns in reply["layers"]]

    def holds(self, name: str) -> bool:
        """Whether a network is prepared: all are lost with a process that crashes."""
        return name in self._prepared

    def forget(self, name: str) -> None:
        """Let go of a network."""
        folder = self._prepared.pop(name, None)
        if folder is not None and self._worker is not None:
            self._worker.tell(json.dumps({"forget": name}))
            shutil.rmtree(folder, ignore_errors=True)  # what is mapped stays until the process lets go

    def _ask(self, request: Mapping[str, Any], answer: str, timeout_s: float) -> Mapping[str, Any]:
        worker = self._started()
        try:
            reply: Mapping[str, Any] = worker.ask(json.dumps(request), answer, timeout_s=timeout_s)
            return reply
        except DeviceError as error:
            hangs = "no answer" in str(error)
            self._end()
            self._prepared.clear()
            message = f"{error}{self._last_words()}"
            raise TrialFailure(FailureClass.TIME_OUT if hangs else FailureClass.CRASH, message) from None

    def _started(self) -> Worker:
        if self._worker is None:
            command = [*self._command, str(self._target)]
            with self._log.open("wb") as log:
                worker = Worker("the process that times networks", command, threads=1, log=log)
                try:
                    worker.start()
                except DeviceError as error:
                    worker.end()
                    message = f"{error}{self._last_words()}"
                    raise TrialFailure(FailureClass.DEVICE_LOST, message) from None
            self._worker = worker
            self._seen = 0
        return self._worker

    def _last_words(self) -> str:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return f": {words[-1][:500]}" if words else ""

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None
