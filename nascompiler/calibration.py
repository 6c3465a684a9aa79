"""Calibrating the model of a core with networks that were measured on a board."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from nascompiler.backends.arm.estimate.calibration import Calibration, Sample, calibrate
from nascompiler.backends.arm.estimate.cost import Events
from nascompiler.backends.arm.estimate.estimator import core_of
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.predict import known_row, timed_calls
from nascompiler.backends.store import Measurements, known_measurements
from nascompiler.backends.target import parse_target
from nascompiler.ir.errors import UsageError
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.latency.predicted import PredictedLatency

FIELDS = ("model", "width", "resolution", "head", "median_ns")

EXAMPLE = '{"measurements": [{"model": "mobilenet-v2", "width": 0.5, "resolution": 192, "median_ns": 21100000}, ...]}'


@dataclass(frozen=True)
class Measured:
    """A line of the file: a network as `nascompiler compile` takes it, and its median latency on the board."""

    model: str
    median_ns: float
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.options.items())])


def read_measurements(path: Path) -> list[Measured]:
    """The measurements in a file; raises UsageError, listing every fault, for one that cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; accepted: {EXAMPLE}") from None
    lines = data.get("measurements") if isinstance(data, dict) else None
    if not isinstance(lines, list) or not lines:
        raise UsageError(f"{path} has no measurements; accepted: {EXAMPLE}")
    faults = [f"measurement {number}: {fault}" for number, line in enumerate(lines, start=1) for fault in _faults(line)]
    if faults:
        raise UsageError(f"{path}: {'; '.join(faults)}")
    return [
        Measured(
            line["model"], float(line["median_ns"]), {k: v for k, v in line.items() if k not in ("model", "median_ns")}
        )
        for line in lines
    ]


def _faults(line: Any) -> list[str]:
    if not isinstance(line, dict):
        return [f"{line!r} is no object"]
    found = [f"unknown {name!r} (accepted: {', '.join(FIELDS)})" for name in line if name not in FIELDS]
    if not isinstance(line.get("model"), str):
        found.append(f"model is {line.get('model')!r}, which must be a name or a file")
    time = line.get("median_ns")
    if not isinstance(time, (int, float)) or isinstance(time, bool) or not 0 < time < inf:
        found.append(f"median_ns is {time!r}, which must be a time in ns")
    return found


def calibrate_target(
    target: str,
    measured: Sequence[Measured],
    *,
    known: Measurements | None = None,
    report: Callable[[str], None] = lambda name: None,
) -> Calibration:
    """Calibrate the core of a target; what is not known of the networks' calls is estimated first, and kept.

    Raises UsageError for fewer than two measurements and unknown models, DeviceError for a target without a model.
    """
    from nascompiler import api

    parsed = parse_target(target)
    core = core_of(parsed)
    if not parsed.is_emulated:
        raise UsageError(f"{target} is measured: calibrate what estimates are made of, without device=")
    known = known_measurements() if known is None else known
    source = PredictedLatency(target, known=known)
    samples = []
    for one in measured:
        report(one.name)
        graph = api.load(one.model, **one.options)
        source.of(graph)
        calls = timed_calls(lowered(graph, parsed))
        tunings = known.tunings(calls, parsed.timing_fingerprint)
        rows = [
            (known_row(KernelCall.of(nodes[0]), parsed, tunings.get(key)), len(nodes)) for key, nodes in calls.items()
        ]
        events = tuple((Events.from_json(row.cycles["events"]), count) for row, count in rows if row is not None)
        samples.append(Sample(one.name, events, one.median_ns))
    return calibrate(core, samples)
