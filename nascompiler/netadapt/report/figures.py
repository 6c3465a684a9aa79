"""The pictures of a report: accuracy over what a network takes, and channels before and after."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from nascompiler.netadapt.budgets import SIZES
from nascompiler.netadapt.result import AdaptResult
from nascompiler.pictures.matplotlib_svg import figure_svg

_POINTS, _LINE, _BOUND = "#94a3b8", "#2563eb", "#dc2626"


def figures(result: AdaptResult) -> list[tuple[str, str]]:
    """(caption, SVG) of each picture."""
    made = []
    for place, name in enumerate(result.start.bounds):
        what = name if name in SIZES else f"latency on {name}"
        caption = f"Accuracy on held-out images and {what}: every iteration; filled where it was run whole."
        made.append((caption, figure_svg(_curve(result, name), f"curve{place}")))
    made.append(("Channels of everything that can shrink, before (grey) and after.", figure_svg(_widths(result), "w")))
    return made


def _curve(result: AdaptResult, name: str) -> Figure:
    unit = 1.0 if name in SIZES else 1e6
    amounts = [iteration.values[name] / unit for iteration in result.iterations]
    accuracies = [iteration.accuracy for iteration in result.iterations]
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(amounts, accuracies, color=_LINE, linewidth=1, marker="o", markersize=4, fillstyle="none")
    run = [(a, c) for a, c, i in zip(amounts, accuracies, result.iterations, strict=True) if name in i.measured]
    if run:
        axes.plot(*zip(*run, strict=True), color=_LINE, marker="o", markersize=6, linestyle="none")
    if result.final is not None:
        axes.plot(amounts[-1:], [result.final.held_out_accuracy], color=_BOUND, marker="*", markersize=12)
    axes.axvline(result.start.bounds[name] / unit, color=_BOUND, linestyle="--", linewidth=1)
    axes.set_xlabel(name if name in SIZES else f"latency on {name}, ms")
    axes.set_ylabel("accuracy on held-out images")
    axes.grid(alpha=0.3)
    return figure


def _widths(result: AdaptResult) -> Figure:
    widths = result.widths
    figure = Figure(figsize=(8, 1 + 0.22 * len(widths)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(widths))
    axes.barh(places, [width.before for width in widths], color=_POINTS, alpha=0.5, height=0.8)
    axes.barh(places, [width.after for width in widths], color=_LINE, height=0.5)
    axes.set_yticks(places, [width.name for width in widths], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("channels")
    axes.grid(alpha=0.3, axis="x")
    return figure
