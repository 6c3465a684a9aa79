"""Rooflines as in the paper's figures 5 to 8: operations a second over operations per byte of weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator import Counters


@dataclass(frozen=True)
class Roof:
    """A machine's limits: operations a second (two a multiply-add), and bytes a second of its weight memory."""

    name: str
    peak_ops_per_s: float
    bandwidth_bytes_per_s: float

    def limit(self, intensity: float) -> float:
        """Operations a second that the roof allows at so many multiply-adds per byte of weights."""
        return min(self.peak_ops_per_s, 2 * intensity * self.bandwidth_bytes_per_s)

    @property
    def ridge(self) -> float:
        """Multiply-adds per byte from which on the peak is the limit."""
        return self.peak_ops_per_s / (2 * self.bandwidth_bytes_per_s)


@dataclass(frozen=True)
class RooflinePoint:
    """A network: multiply-adds per byte of its weights, operations a second, and whether simulated or measured."""

    name: str
    intensity: float
    ops_per_s: float
    how: str


def machine_roof(machine: Machine) -> Roof:
    """The roof of a TPU."""
    return Roof(
        str(machine), 2.0 * machine.peak_macs_per_s, float(machine.weight_bandwidth_bytes_per_s) or float("inf")
    )


def simulated_point(name: str, counters: Counters, weight_bytes: int, machine: Machine) -> RooflinePoint:
    """A run in the figure. As in the paper, the intensity is the network's own: multiply-adds per byte of its weights,
    not of the padded tiles that were fetched."""
    ops = 2 * counters.useful_macs
    return RooflinePoint(
        name, counters.useful_macs / max(weight_bytes, 1), ops / machine.seconds(max(counters.cycles, 1)), "simulated"
    )


def draw_roofline(roofs: Sequence[Roof], points: Sequence[RooflinePoint], path: Path) -> None:
    """Write the figure, logarithmic on both axes: an .svg, .png or .pdf. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.add_subplot()
    intensities = [p.intensity for p in points] + [roof.ridge for roof in roofs if roof.ridge > 0]
    low, high = min(intensities, default=1) / 3, max(intensities, default=1000) * 3
    for number, roof in enumerate(roofs):
        xs = sorted({low, min(max(roof.ridge, low), high), high})
        axes.plot(xs, [roof.limit(x) / 1e12 for x in xs], color=f"C{number}", label=roof.name)
    styles = {"simulated": "o", "measured": "^"}
    for point in points:
        axes.plot(point.intensity, point.ops_per_s / 1e12, styles.get(point.how, "s"), color="black", markersize=5)
        axes.annotate(
            f"{point.name}, {point.how}",
            (point.intensity, point.ops_per_s / 1e12),
            textcoords="offset points",
            xytext=(5, 4),
            fontsize=8,
        )
    axes.set(xscale="log", yscale="log", xlabel="multiply-adds per byte of weights", ylabel="tera-operations a second")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
