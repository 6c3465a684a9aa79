"""The counters of several programs that run one after the other, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator import Counters, Simulation


def combined_counters(runs: Sequence[Simulation]) -> Counters:
    """The sums of the counters of programs."""
    names = [f.name for f in fields(Counters) if f.name != "name"]
    return Counters("total", **{name: sum(getattr(run.total, name) for run in runs) for name in names})


def combined_report(runs: Sequence[Simulation], machine: Machine) -> dict[str, Any]:
    """The rows of the paper's table 3 over programs that run one after the other, in per cent of all cycles."""
    return combined_counters(runs).report(machine)
