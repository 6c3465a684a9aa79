"""Measures runtimes on one network: each in a process of its own, in bursts by turns, everybody else stopped."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers.accuracy import Accuracy, accuracy
from benchmarks.peers.prepare import prepare
from benchmarks.peers.results import OURS, Case, Failure, Result
from benchmarks.peers.runtimes import RUNTIMES
from nascompiler.backends.errors import DeviceError
from nascompiler.bench.turns import Worker, measure_in_turns


def measure(
    model: str, peers: Sequence[str], dtype: str, threads: int, folder: Path, *, rounds: int, burst_ms: float, nice: int
) -> list[Result | Failure]:
    """A line for every peer, in their order; `nice` is the priority they are measured at. Model files that `folder`
    lacks are made first."""
    folder.mkdir(parents=True, exist_ok=True)
    failures = {peer: reason for peer in peers if (reason := _obstacle(model, peer, dtype, folder))}
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch, open(folder / "workers.log", "ab") as log:
        answers = {peer: Path(scratch) / f"{peer}.npy" for peer in peers if peer not in failures}
        workers = [
            Worker(peer, command(peer, dtype, threads, folder, path), threads, log) for peer, path in answers.items()
        ]
        session = _Session(folder, sorted(os.sched_getaffinity(0))[-threads:], nice, failures)
        by_name = {worker.name: worker for worker in workers}
        try:
            ready = [worker for worker in workers if session.load(worker, answers[worker.name])]
            measure_in_turns(
                ready,
                rounds=rounds,
                burst_ms=burst_ms,
                min_runs=1,  # one run of the slowest is a burst
                after_round=lambda: session.note_round(ready),
                on_failure=session.fail,
            )
            cases = [Case(model, peer, dtype, threads) for peer in peers]
            return [
                Failure(case, failures[case.peer])
                if case.peer in failures
                else session.result(case, by_name[case.peer])
                for case in cases
            ]
        finally:
            for worker in workers:
                worker.end()


def command(peer: str, dtype: str, threads: int, folder: Path, outputs: Path) -> list[str]:
    """What starts the worker of a runtime, from the root of the repository."""
    if peer == OURS:
        model = str(folder / "fp32.onnx")
        module, named = "nascompiler.bench.harness_worker", [model, str(folder)]
    else:
        module, named = "benchmarks.peers.worker", [peer, str(folder)]
    return [sys.executable, "-m", module, *named, str(threads), dtype, str(outputs)]


def _obstacle(model: str, peer: str, dtype: str, folder: Path) -> str | None:
    """Why a runtime cannot be measured, if so."""
    unserved = RUNTIMES[peer].obstacle(dtype) if peer != OURS else None
    return unserved or prepare(model, "reference", "fp32", folder) or prepare(model, peer, dtype, folder)


class _Session:
    """What is noted about the workers of one network."""

    def __init__(self, folder: Path, cpus: Sequence[int], nice: int, failures: dict[str, str]) -> None:
        self.reference = folder / "reference.npy"
        self.cpus = cpus
        self.nice = nice
        self.failures = failures
        self.accuracies: dict[str, Accuracy] = {}
        self.rounds_ms: dict[str, list[float | None]] = {}
        self.noted: dict[str, int] = {}

    def load(self, worker: Worker, answers: Path) -> bool:
        """Start a worker, check its answers and stop it; False when it failed."""
        try:
            worker.start()
            self.accuracies[worker.name] = accuracy(np.load(answers), np.load(self.reference))
            worker.pin(self.cpus)
            if self.nice:
                worker.prioritise(self.nice)
            worker.watch_memory()
            worker.stop()
        except (DeviceError, OSError, ValueError) as error:
            self.fail(worker, error)
            return False
        return True

    def fail(self, worker: Worker, error: Exception) -> None:
        self.failures[worker.name] = str(error).removeprefix(f"{worker.name}: ")
        worker.end()

    def note_round(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            fresh = worker.samples_ms[self.noted.get(worker.name, 0) :]
            self.noted[worker.name] = len(worker.samples_ms)
            self.rounds_ms.setdefault(worker.name, []).append(float(np.median(fresh)) if fresh else None)

    def result(self, case: Case, worker: Worker) -> Result:
        """Of a worker that is still there."""
        p10, median, p90 = (float(p) for p in np.percentile(worker.samples_ms, [10, 50, 90]))
        return Result(
            case,
            version=str(worker.hello["version"]),
            note=str(worker.hello["note"]),
            median_ms=median,
            p10_ms=p10,
            p90_ms=p90,
            runs=len(worker.samples_ms),
            dropped=worker.dropped,
            rounds_ms=tuple(self.rounds_ms[worker.name]),
            accuracy=self.accuracies[worker.name],
            peak_bytes=worker.peak_bytes(),
        )
