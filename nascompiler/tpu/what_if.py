"""What if: the six workloads on machines with one figure scaled, as in section 7 and figure 11 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.ir import Graph, UsageError
from nascompiler.tpu.workloads import SHARES, WORKLOADS, workload_structure

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Kind:
    """A way to scale a machine. `plus` says whether accumulators grow with it, as the paper's plus signs do."""

    name: str
    description: str
    scale: Callable[[Machine, float], Machine]


@dataclass(frozen=True)
class WhatIf:
    """Performance of each workload over that on the machine as it is, and the mean weighted by the deployed mix.

    A workload that does not fit the machine is None, and so then is the mean.
    """

    kind: str
    factor: float
    target: str
    speedups: dict[str, float | None]

    @property
    def weighted_mean(self) -> float | None:
        """The mean by `SHARES`."""
        known = {name: value for name, value in self.speedups.items() if value is not None}
        if len(known) < len(self.speedups) or not known:
            return None
        return sum(SHARES[name] * value for name, value in known.items()) / sum(SHARES[name] for name in known)


def _scaled(value: int, factor: float) -> int:
    return max(round(value * factor), 1)


def _memory(machine: Machine, factor: float) -> Machine:
    return machine.with_options(weight_bandwidth=f"{_scaled(machine.weight_bandwidth_bytes_per_s, factor)}B/s")


def _clock(machine: Machine, factor: float) -> Machine:
    return machine.with_options(clock=f"{_scaled(machine.clock_hz, factor)}Hz")


def _accumulators(machine: Machine, factor: float) -> Machine:
    return machine.with_options(accumulators=min(_scaled(machine.accumulators, factor), 1 << 16))


def _matrix(machine: Machine, factor: float) -> Machine:
    return machine.with_options(array=_scaled(machine.array, factor))


KINDS = (
    Kind("memory", "weight memory bandwidth", _memory),
    Kind("clock+", "clock, and accumulators with it", lambda m, f: _accumulators(_clock(m, f), f)),
    Kind("clock", "clock alone", _clock),
    Kind(
        "matrix+",
        "side of the array, and accumulators by its square",
        lambda m, f: _accumulators(_matrix(m, f), f * f),
    ),
    Kind("matrix", "side of the array alone", _matrix),
)
"""The curves of figure 11. The paper scales the matrix unit from 256x256 to 512x512, factor 2, and the rest up to 4."""

GDDR5 = "tpu:prime"


def what_if(
    target: str = "tpu:v1",
    *,
    workloads: Sequence[str] = WORKLOADS,
    factors: Sequence[float] = FACTORS,
    progress: Callable[[str], None] | None = None,
) -> list[WhatIf]:
    """Every kind at every factor, and GDDR5 memory (the paper's TPU'), each recompiled for its machine.

    Factors that no machine can have (arrays beyond 512) are left out. Raises UsageError for unknown workloads.
    """
    base = parse_machine(target)
    graphs = {name: workload_structure(name) for name in workloads}
    before = {name: _cycles(graph, base) for name, graph in graphs.items()}
    rows = []
    for kind, factor, machine in _machines(base, factors):
        if progress is not None:
            progress(f"{kind} x{factor:g}")
        speedups = {
            name: _ratio(before[name], base, _cycles(graph, machine), machine) for name, graph in graphs.items()
        }
        rows.append(WhatIf(kind, factor, str(machine), speedups))
    return rows


def _machines(base: Machine, factors: Sequence[float]) -> Iterator[tuple[str, float, Machine]]:
    for kind in KINDS:
        for factor in factors:
            try:
                machine = base if factor == 1 else kind.scale(base, factor)
            except UsageError:
                continue
            yield kind.name, factor, machine
    gddr5 = parse_machine(GDDR5).weight_bandwidth_bytes_per_s
    factor = gddr5 / base.weight_bandwidth_bytes_per_s if base.weight_bandwidth_bytes_per_s else 1.0
    yield "gddr5", factor, base.with_options(weight_bandwidth=f"{gddr5}B/s")


def _cycles(graph: Graph, machine: Machine) -> int | None:
    from nascompiler.backends.tpu.timing import time_network
    from nascompiler.ir import ModelError

    try:
        return time_network(graph, machine).cycles
    except ModelError:
        return None


def _ratio(before: int | None, base: Machine, after: int | None, machine: Machine) -> float | None:
    if before is None or after is None:
        return None
    return base.seconds(before) / machine.seconds(after)


def draw_what_if(rows: Sequence[WhatIf], path: Path) -> None:
    """Write the scaling figure: weighted mean performance over the factor, a curve a kind. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    for kind in dict.fromkeys(row.kind for row in rows):
        points = [(r.factor, r.weighted_mean) for r in rows if r.kind == kind and r.weighted_mean is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", label=kind)
    axes.set(xscale="log", xlabel="factor", ylabel="performance, weighted mean, simulated", xticks=FACTORS)
    axes.set_xticklabels([f"{factor:g}" for factor in FACTORS])
    axes.minorticks_off()
    axes.grid(True, alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
