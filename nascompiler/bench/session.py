"""One benchmark: an artifact, alone or side by side with other runtimes on the same model and inputs."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler import __version__
from nascompiler.backends.manifest import Manifest, TensorSpec
from nascompiler.backends.measure import Environment, Kind, Latency, environment
from nascompiler.backends.measure.latency import LayerTime, median_layers
from nascompiler.backends.measure.lease import device_lease
from nascompiler.backends.measure.roofline import Roofline
from nascompiler.backends.target import parse_target
from nascompiler.bench.estimated import check_options, estimate_artifact
from nascompiler.bench.peers import check_peers
from nascompiler.bench.source import peer_model
from nascompiler.bench.turns import Worker, measure_in_turns
from nascompiler.ir import Array, Error, UsageError
from nascompiler.ir.random_values import random_array

OURS = "nascompiler"


@dataclass(frozen=True)
class Entry:
    """One runtime's result. `ratio` is its median over ours: above 1, we are faster."""

    name: str
    version: str
    note: str
    latency: Latency
    ratio: float
    dropped: int


@dataclass(frozen=True)
class BenchResult:
    """What a benchmark found: ours first, then the others, all measured in turns in the same run."""

    target: str
    threads: int
    entries: tuple[Entry, ...]
    failures: Mapping[str, str]
    environment: Environment
    roofline: Roofline | None = None
    weights: int = 0
    simulation: Mapping[str, Any] | None = None
    """Of a TPU: cycles, counters of the whole and of each layer, and what the host takes beside it."""

    def bound_ns(self, layer: LayerTime) -> float | None:
        """The least time of a layer on one thread of this machine; None where it was not measured."""
        return None if self.roofline is None else self.roofline.bound_ns(layer, self.weights)

    @property
    def ours(self) -> Entry:
        return self.entries[0]

    def to_json(self) -> dict[str, Any]:
        """Our figures at the top level, the other runtimes' under `peers`."""
        return {
            "target": self.target,
            "threads": self.threads,
            **self.ours.latency.to_json(),
            **(self.simulation or {}),
            "dropped_bursts": self.ours.dropped,
            "roofline": None if self.roofline is None else asdict(self.roofline),
            "bounds_ns": None
            if self.roofline is None
            else [self.bound_ns(layer) for layer in self.ours.latency.layers],
            "environment": self.environment.to_json(),
            "peers": [
                {
                    "name": e.name,
                    "version": e.version,
                    "note": e.note,
                    "ratio": e.ratio,
                    "dropped_bursts": e.dropped,
                    **e.latency.to_json(),
                }
                for e in self.entries[1:]
            ],
            "failures": dict(self.failures),
        }


def bench_artifact(
    folder: str | Path,
    *,
    threads: int = 1,
    against: Sequence[str] = (),
    rounds: int = 12,
    burst_ms: float = 200.0,
    profile_runs: int = 20,
    roofline: bool = False,
    seed: int = 0,
) -> BenchResult:
    """Measure an artifact, and other runtimes by name, in turns.

    `rounds` bursts of about `burst_ms` each are taken of every runtime; with `roofline`, what the machine can do at
    most is measured between them. Peers that fail to load are listed in `failures`. An artifact for a core that is not
    here is estimated. Raises an Error when the artifact itself cannot be loaded, UsageError for unknown peers or
    threads < 1.
    """
    if threads < 1:
        raise UsageError(f"threads is {threads}; it must be at least 1")
    if rounds < 1 or burst_ms <= 0:
        raise UsageError("rounds must be at least 1 and a burst longer than 0 ms")
    check_peers(against)
    manifest = Manifest.read(Path(folder))
    target = parse_target(manifest.target)
    if target.is_emulated:
        check_options(threads, against, target)
        latency, model = estimate_artifact(Path(folder), manifest)
        ours = Entry(OURS, __version__, manifest.target, latency, 1.0, 0)
        return BenchResult(manifest.target, threads, (ours,), {}, model)
    if manifest.kind is Kind.SIMULATED:
        if against:
            raise UsageError(
                f"{folder} is simulated ({manifest.target}): runtimes cannot be measured beside it in turns"
            )
        from nascompiler.bench.simulated import simulate_artifact

        return simulate_artifact(Path(folder), random_arrays(manifest, seed), environment(threads, []))
    with tempfile.TemporaryDirectory(prefix="nascompiler-bench-") as scratch:
        inputs = Path(scratch) / "inputs.npz"
        np.savez(inputs, allow_pickle=False, **random_arrays(manifest, seed))
        with device_lease(purpose="bench"):
            return _measure(
                Path(folder), manifest, Path(scratch), threads, against, rounds, burst_ms, profile_runs, roofline
            )


def random_arrays(manifest: Manifest, seed: int) -> dict[str, Array]:
    """Standard normal arrays (integers: 0 to 3) for the inputs of an artifact."""
    generator = np.random.default_rng(seed)
    return {tensor.name: random_array(tensor.type, generator) for tensor in manifest.inputs}


def _measure(
    folder: Path,
    manifest: Manifest,
    scratch: Path,
    threads: int,
    against: Sequence[str],
    rounds: int,
    burst_ms: float,
    profile_runs: int,
    roofline: bool,
) -> BenchResult:
    inputs = str(scratch / "inputs.npz")
    python = [sys.executable, "-m"]
    workers = [Worker(OURS, [*python, "nascompiler.bench.artifact_worker", str(folder), str(threads), inputs], threads)]
    if against:
        model = str(peer_model(folder, scratch))
        workers += [
            Worker(name, [*python, "nascompiler.bench.peers", name, model, str(threads), inputs], threads)
            for name in against
        ]
    failures: dict[str, str] = {}
    cpus = sorted(os.sched_getaffinity(0))[-threads:]
    conditions = environment(threads, cpus)
    try:
        ready = []
        for worker in workers:
            try:
                worker.start()
            except Error as error:
                if worker.name == OURS:
                    raise
                failures[worker.name] = str(error)
                continue
            worker.pin(cpus)
            worker.stop()
            ready.append(worker)
        profile = _Profile(ready[0], profile_runs, roofline)
        measure_in_turns(ready, rounds=rounds, burst_ms=burst_ms, after_round=profile.take)
    finally:
        for worker in workers:
            worker.end()
    ours = float(np.median(ready[0].samples_ms))
    layers, clock_ns = median_layers(profile.layers, profile.runs_ns, ours * 1e6)
    entries = (
        _entry(ready[0], ours, layers, clock_ns),
        *(_entry(worker, ours) for worker in ready[1:]),
    )
    peaks = Roofline.of(profile.probes) if profile.probes else None
    weights = sum(TensorSpec("", w.shape, w.dtype).type.bytes for w in manifest.weights)
    return BenchResult(manifest.target, threads, entries, failures, conditions, peaks, weights)


@dataclass
class _Profile:
    """Profiled runs of a worker, some after every round, so that they meet the same conditions as the bursts."""

    worker: Worker
    runs: int
    roofline: bool
    layers: list[LayerTime] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)
    runs_ns: list[list[float]] = field(default_factory=list)

    def take(self) -> None:
        if self.runs:
            self.worker.resume()
            reply = self.worker.ask(f"profile {self.runs}", "layers")
            if self.roofline:
                self.probes.append(self.worker.ask("probe", "probe")["probe"])
            self.worker.stop()
            self.layers = [LayerTime(**layer) for layer in reply["layers"]]
            self.runs_ns += reply["runs_ns"]


def _entry(worker: Worker, ours_ms: float, layers: Sequence[LayerTime] = (), clock_ns: float = 0.0) -> Entry:
    samples = [ms * 1e6 for ms in worker.samples_ms]
    hello = worker.hello
    latency = Latency(Kind.MEASURED, samples, hello["cold_ns"], hello["load_ns"], layers, clock_ns)
    ratio = float(np.median(worker.samples_ms)) / ours_ms
    return Entry(worker.name, str(hello["version"]), str(hello["note"]), latency, ratio, worker.dropped)
