"""The pictures of a report, as SVG text that is the same for the same study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nascompiler.pictures.matplotlib_svg import figure_svg
from nascompiler.search.ranking import Candidate
from nascompiler.search.report.curves import Baseline, best_so_far, moving_mean, trajectory
from nascompiler.search.result import SearchResult

WINDOW = 20
"""Trials in the moving mean of rewards."""

MOST_POINTS = 2000
"""With more points than that they become one image, or the page would not open in good time."""

_POINTS, _FRONT, _WINNER, _RANDOM = "#94a3b8", "#2563eb", "#dc2626", "#d97706"


def figures(result: SearchResult, compared: Baseline | None) -> list[tuple[str, str]]:
    """(caption, SVG) of each picture that there is something to show in."""
    made = []
    for place, target in enumerate(result.settings.targets if result.candidates else ()):
        caption = f"Accuracy and latency on {target}: all that was trained, the front, and the winner (star)."
        made.append((caption, figure_svg(_front(result, target), f"front{place}")))
    if result.trials:
        caption = "Reward of each trial, the mean of the last 20, and the best so far"
        caption += "." if compared is None else f"; random search by {compared.source}."
        made.append((caption, figure_svg(_rewards(result, compared), "rewards")))
    if any(final.before and final.measured for final in result.finals):
        caption = f"The best: latency as the trial had it, and {result.kinds_of_finals} end to end, with its spread."
        made.append((caption, figure_svg(_latencies(result), "latencies")))
    return made


def _front(result: SearchResult, target: str) -> Figure:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    numbers = [candidate.number for candidate in result.candidates]
    points = axes.scatter(
        *_points(result.candidates, target),
        c=numbers,
        cmap="viridis_r",
        s=14,
        rasterized=len(numbers) > MOST_POINTS,
    )
    figure.colorbar(points, label="trial")
    line = sorted(result.front, key=lambda candidate: candidate.evaluation.latencies[target].ns)
    axes.plot(*_points(line, target), color=_FRONT, linewidth=1, marker="o", markersize=4, fillstyle="none")
    if result.winner is not None:
        axes.plot(*_points([result.winner], target), color=_WINNER, marker="*", markersize=12, linestyle="none")
    wanted = result.objective.targets_ns.get(target)
    if wanted is not None:
        axes.axvline(wanted / 1e6, color=_WINNER, linestyle="--", linewidth=1)
    axes.set_xlabel("latency in ms")
    axes.set_ylabel("accuracy on held-out images")
    axes.grid(alpha=0.3)
    return figure


def _points(found: Sequence[Candidate], target: str) -> tuple[list[float], list[float]]:
    """Latencies in ms and accuracies."""
    latencies = [candidate.evaluation.latencies[target].ns / 1e6 for candidate in found]
    return latencies, [candidate.evaluation.accuracy or 0.0 for candidate in found]


def _rewards(result: SearchResult, compared: Baseline | None) -> Figure:
    rewards = trajectory([trial for trial in result.trials if trial.told is not None], result.objective)
    numbers = np.arange(1, len(rewards) + 1)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        numbers, rewards, ".", color=_POINTS, markersize=3, rasterized=len(rewards) > MOST_POINTS, label="each trial"
    )
    shown = slice(None, None, max(1, len(rewards) // MOST_POINTS))
    mean, best = moving_mean(rewards, WINDOW), best_so_far(rewards)
    axes.plot(numbers[shown], mean[shown], color=_FRONT, linewidth=1, label=f"mean of {WINDOW}")
    axes.plot(numbers[shown], best[shown], color=_FRONT, linewidth=2, label="best so far")
    if compared is not None:
        axes.axhline(compared.mean, color=_RANDOM, linewidth=1, linestyle="--", label="random: mean")
        expected = compared.expected_best[: len(rewards)]
        counts = np.arange(1, len(expected) + 1)
        axes.plot(counts[shown], expected[shown], color=_RANDOM, linewidth=2, label="random: best so far")
    axes.set_xlabel("trials")
    axes.set_ylabel("reward")
    _from_lowest(axes, rewards)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def _from_lowest(axes: Axes, rewards: Sequence[float]) -> None:
    """Leave failures, worth 0, below the picture where they would squeeze the rest."""
    above = [reward for reward in rewards if reward > 0]
    if above and min(above) > 0.2 * max(above):
        margin = 0.05 * (max(above) - min(above)) or 0.01
        axes.set_ylim(min(above) - margin, max(above) + margin)


def _latencies(result: SearchResult) -> Figure:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    known = [(f.before, f.measured, f.trial) for f in result.finals if f.before and f.measured]
    before = [b.ns / 1e6 for b, _, _ in known]
    measured = [m.ns / 1e6 for _, m, _ in known]
    spread = [m.spread_ns / 1e6 for _, m, _ in known]
    axes.errorbar(before, measured, yerr=spread, fmt="o", color=_FRONT, markersize=4, capsize=2)
    for x, y, (_, _, trial) in zip(before, measured, known, strict=True):
        axes.annotate(str(trial), (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
    ends = [min([*before, *measured]), max([*before, *measured])]
    axes.plot(ends, ends, color=_POINTS, linewidth=1)
    kinds = " or ".join(dict.fromkeys(b.kind.value for b, _, _ in known))
    axes.set_xlabel(f"{kinds} in the trial, ms")
    axes.set_ylabel(f"{result.kinds_of_finals} end to end, ms")
    axes.grid(alpha=0.3)
    return figure
