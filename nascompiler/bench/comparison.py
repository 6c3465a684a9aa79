"""Two artifacts of the same network, measured in turns: which one is faster here, if any."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler.backends.manifest import Manifest
from nascompiler.backends.measure import Environment, Kind, Latency, environment
from nascompiler.backends.measure.lease import device_lease
from nascompiler.backends.target import parse_target
from nascompiler.bench.estimated import check_options, estimate_artifact
from nascompiler.bench.session import random_arrays
from nascompiler.bench.turns import Worker, measure_in_turns

SMALLEST_DIFFERENCE = 0.05
"""Medians of the same program taken twice differ by so much on a shared machine: less is never called faster."""


@dataclass(frozen=True)
class Comparison:
    """Latencies of two artifacts, and the ratio of the first to the second.

    `ratio` is the median over the rounds of (median of the first) / (median of the second), both measured in the same
    round; `spread` the median absolute deviation of those ratios, inf where fewer than 3 rounds were undisturbed.
    """

    first: Latency
    second: Latency
    ratio: float
    spread: float
    rounds: int
    threads: int
    environment: Environment

    @property
    def noise(self) -> float:
        """Ratios closer to 1 than this say nothing."""
        return max(SMALLEST_DIFFERENCE, 3 * self.spread)

    @property
    def decided(self) -> bool:
        return abs(self.ratio - 1) > self.noise

    def to_json(self) -> dict[str, Any]:
        return {
            "ratio": self.ratio,
            "spread": self.spread if isfinite(self.spread) else None,
            "noise": self.noise if isfinite(self.noise) else None,
            "decided": self.decided,
            "rounds": self.rounds,
            "threads": self.threads,
            "environment": self.environment.to_json(),
        }


def compare_artifacts(
    first: str | Path, second: str | Path, *, threads: int = 1, rounds: int = 12, burst_ms: float = 200.0, seed: int = 0
) -> Comparison:
    """Measure two artifacts with the same inputs in `rounds` bursts each, in turns.

    Artifacts for a core that is not here are estimated: emulation has no times. Raises DeviceError when one cannot run
    on this machine, ModelError when one is damaged.
    """
    manifest = Manifest.read(Path(first))
    target = parse_target(manifest.target)
    if target.is_emulated:
        check_options(threads, (), target)
        return _estimated(Path(first), Path(second))
    with tempfile.TemporaryDirectory(prefix="nascompiler-bench-") as scratch:
        inputs = Path(scratch) / "inputs.npz"
        np.savez(inputs, allow_pickle=False, **random_arrays(manifest, seed))
        command = [sys.executable, "-m", "nascompiler.bench.artifact_worker"]
        workers = [
            Worker(name, [*command, str(folder), str(threads), str(inputs)], threads)
            for name, folder in (("first", first), ("second", second))
        ]
        with device_lease(purpose="comparing artifacts"):
            return _measured(workers, threads, rounds, burst_ms)


def _estimated(*folders: Path) -> Comparison:
    """The estimates of two artifacts, which are the same whenever they are asked for."""
    (first, model), (second, _) = (estimate_artifact(folder, Manifest.read(folder)) for folder in folders)
    return Comparison(first, second, first.median_ns / second.median_ns, 0.0, 1, 1, model)


def _measured(workers: Sequence[Worker], threads: int, rounds: int, burst_ms: float) -> Comparison:
    cpus = sorted(os.sched_getaffinity(0))[-threads:]
    conditions = environment(threads, cpus)
    kept = [0 for _ in workers]
    ratios: list[float] = []

    def take_ratio() -> None:
        medians = []
        for number, worker in enumerate(workers):
            fresh = worker.samples_ms[kept[number] :]
            kept[number] = len(worker.samples_ms)
            medians.append(float(np.median(fresh)) if fresh else None)
        if medians[0] is not None and medians[1] is not None:
            ratios.append(medians[0] / medians[1])

    try:
        for worker in workers:
            worker.start()
            worker.pin(cpus)
            worker.stop()
        measure_in_turns(workers, rounds=rounds, burst_ms=burst_ms, after_round=take_ratio)
    finally:
        for worker in workers:
            worker.end()
    first, second = (
        Latency(Kind.MEASURED, [ms * 1e6 for ms in w.samples_ms], w.hello["cold_ns"], w.hello["load_ns"])
        for w in workers
    )
    if not ratios:  # every round lost one of the two to other processes
        ratios = [first.median_ns / second.median_ns]
    ratio = float(np.median(ratios))
    spread = float(np.median(np.abs(np.asarray(ratios) - ratio))) if len(ratios) > 2 else inf
    return Comparison(first, second, ratio, spread, len(ratios), threads, conditions)
