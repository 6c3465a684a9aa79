"""The pictures of a report, as SVG text that is the same for the same report."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from nascompiler.pictures.matplotlib_svg import figure_svg

if TYPE_CHECKING:
    from nascompiler.quantization.result import Report

WORST = 20
"""Layers in the picture of the most sensitive ones."""

_COLOURS = {"float": "#d97706", "16 bit": "#7c3aed"}
_INTEGER, _WEIGHTS = "#2563eb", "#94a3b8"


def figures(report: Report) -> list[tuple[str, str]]:
    """(caption, SVG) of each picture that there is something to show in."""
    made = []
    if report.sensitivity:
        made.append(
            (
                "Each layer alone: signal-to-noise at the output. Low bars hurt most.",
                figure_svg(_isolated(report), "alone"),
            )
        )
        made.append(
            (
                "All layers together: signal-to-noise of each result, in the order of the network.",
                figure_svg(_cumulative(report), "together"),
            )
        )
    return made


def _isolated(report: Report) -> Figure:
    rows = [row for row in report.sensitivity if isfinite(row.isolated)][:WORST]
    placed = {row.layer: row.placement for row in report.layers}
    figure = Figure(figsize=(8, 0.6 + 0.25 * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots()
    colours = [_COLOURS.get(placed.get(row.layer, ""), _INTEGER) for row in rows]
    axes.barh([row.layer for row in rows], [row.isolated for row in rows], color=colours)
    axes.invert_yaxis()
    axes.set_xlabel("dB")
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="x", alpha=0.3)
    return figure


def _cumulative(report: Report) -> Figure:
    by_layer = {row.layer: row for row in report.sensitivity}
    rows = [by_layer[row.layer] for row in report.layers if row.layer in by_layer]
    shown = [(i, row.cumulative) for i, row in enumerate(rows) if isfinite(row.cumulative)]
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([i for i, _ in shown], [ratio for _, ratio in shown], color=_INTEGER, marker=".", linewidth=1)
    axes.set_xlabel("layer")
    axes.set_ylabel("dB")
    axes.grid(alpha=0.3)
    return figure
