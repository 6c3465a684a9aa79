"""A latency: its value in ns, its spread, how it came about, and the layers that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

REST = "(rest)"
"""Name of the row that holds what the layers do not account for: calls, allocation, and noise between two runs."""


class Kind(Enum):
    """How a latency came about. Emulation gives values, never a latency."""

    MEASURED = "measured"
    SIMULATED = "simulated"
    ESTIMATED = "estimated"
    PREDICTED = "predicted"


@dataclass(frozen=True)
class LayerTime:
    """The time of one kernel call in a run of the whole network.

    `name` and `op` are those of the nodes it computes; `ns` is of one run, or the median over several; `macs` are
    multiply-adds; `bytes` what the call reads and writes once each, `weight_bytes` the part of it that are weights;
    `kernel` is the variant that computes it. Of an estimate, `compute_cycles` are those of the core's pipeline and
    `memory_cycles` what memory takes by itself; on a core that executes out of order they overlap in part.
    """

    name: str
    op: str
    ns: float
    macs: int
    bytes: int
    weight_bytes: int = 0
    kernel: str = ""
    compute_cycles: float | None = None
    memory_cycles: float | None = None

    @property
    def is_integer(self) -> bool:
        """Whether it multiplies integers."""
        return "qnn." in self.op or "quantized" in self.op


@dataclass(frozen=True)
class Latency:
    """Latencies of single inferences (batch as compiled), in ns.

    `samples_ns` are warm runs; `cold_ns` the first run after loading; `layers` one row for each kernel call, by the
    medians of separate profiled runs, from each of which `clock_ns` was taken off: what looking at the clock costs.
    """

    kind: Kind
    samples_ns: Sequence[float]
    cold_ns: float | None = None
    load_ns: float | None = None
    layers: Sequence[LayerTime] = field(default_factory=tuple)
    clock_ns: float = 0.0

    @property
    def median_ns(self) -> float:
        return float(np.median(self.samples_ns))

    @property
    def mad_ns(self) -> float:
        """Median absolute deviation from the median: the spread that a few disturbed runs do not change."""
        return float(np.median(np.abs(np.asarray(self.samples_ns) - self.median_ns)))

    @property
    def sustained_ns(self) -> float:
        """Median of the last third of the runs, when caches, clock and temperature have settled."""
        return float(np.median(self.samples_ns[-max(1, len(self.samples_ns) // 3) :]))

    def percentile_ns(self, percent: float) -> float:
        return float(np.percentile(self.samples_ns, percent))

    @property
    def layers_ns(self) -> float:
        """Sum of the layers' medians; with `rest_ns` it gives `median_ns`."""
        return sum(layer.ns for layer in self.layers)

    @property
    def rest_ns(self) -> float:
        """End to end minus the layers: calls, allocation, and what differs between runs with a clock and without."""
        return self.median_ns - self.layers_ns

    def rows(self) -> list[LayerTime]:
        """The layers and the rest, which add up to `median_ns`; nothing when no profile was taken."""
        return [*self.layers, LayerTime(REST, "rest", self.rest_ns, 0, 0)] if self.layers else []

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data; times in ns."""
        return {
            "kind": self.kind.value,
            "repeats": len(self.samples_ns),
            "median_ns": self.median_ns,
            "mad_ns": self.mad_ns,
            "p50_ns": self.percentile_ns(50),
            "p90_ns": self.percentile_ns(90),
            "p99_ns": self.percentile_ns(99),
            "min_ns": float(min(self.samples_ns)),
            "cold_ns": self.cold_ns,
            "load_ns": self.load_ns,
            "sustained_ns": self.sustained_ns,
            "layers_ns": self.layers_ns,
            "rest_ns": self.rest_ns if self.layers else None,
            "clock_ns": self.clock_ns,
            "layers": [_plain(row) for row in self.rows()],
        }


def _plain(row: LayerTime) -> dict[str, Any]:
    """A row as plain data; only estimates have cycles."""
    return {name: value for name, value in asdict(row).items() if value is not None or not name.endswith("_cycles")}


def median_layers(
    layers: Sequence[LayerTime], runs_ns: Sequence[Sequence[float]], end_to_end_ns: float
) -> tuple[tuple[LayerTime, ...], float]:
    """Layers with their medians over profiled runs, and what the clock adds to each call, in ns.

    `layers` are the calls in order, `runs_ns` the time of each in each run. A call under the clock takes longer than it
    does by itself: where the medians add up to more than the run without a clock takes, the surplus is taken off all
    calls alike, none going below zero.
    """
    if not len(runs_ns):
        return (), 0.0
    medians = np.median(np.asarray(runs_ns, dtype=float), axis=0)
    clock = _equal_share(medians, float(medians.sum()) - end_to_end_ns)
    times = np.maximum(medians - clock, 0)
    rows = zip(layers, times, strict=True)
    return tuple(replace(layer, ns=float(ns)) for layer, ns in rows), clock


def _equal_share(times: NDArray[np.float64], surplus: float) -> float:
    """What to take off each time, none going below zero, so that together they lose `surplus`."""
    ordered = np.sort(times)
    taken = 0.0
    for index, time in enumerate(ordered):
        share = (surplus - taken) / (len(ordered) - index)
        if share <= time:
            return max(share, 0.0)
        taken += float(time)
    return 0.0
