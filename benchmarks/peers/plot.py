"""The latencies as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.peers.results import Result
from benchmarks.peers.tables import axes, settings


def plot(results: Sequence[Result], path: Path) -> None:
    """Medians in ms on a logarithmic axis, whiskers from the 10th to the 90th percentile: a panel for each dtype and
    number of threads. The suffix of the path says the format."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = settings(results)
    figure, plots = pyplot.subplots(
        len(panels), 1, figsize=(11, 3.6 * len(panels)), squeeze=False, layout="constrained"
    )
    everybody = axes(results)[1]
    colours = {peer: f"C{number}" for number, peer in enumerate(everybody)}
    for (title, group), panel in zip(panels.items(), plots[:, 0], strict=True):
        models, peers = axes(group)
        width = 0.85 / len(peers)
        for number, peer in enumerate(peers):
            own = [r for r in group if r.case.peer == peer]
            median = np.array([r.median_ms for r in own])
            low, high = (np.array([getattr(r, name) for r in own]) for name in ("p10_ms", "p90_ms"))
            panel.bar(
                [models.index(r.case.model) + (number - (len(peers) - 1) / 2) * width for r in own],
                median,
                width,
                yerr=np.maximum([median - low, high - median], 0),
                label=peer,
                color=colours[peer],
                error_kw={"linewidth": 0.8},
            )
        panel.set_yscale("log")
        for ticks in (panel.yaxis.set_major_formatter, panel.yaxis.set_minor_formatter):
            ticks("{x:g}")
        panel.set_ylabel("ms for one image")
        panel.set_title(title, loc="left")
        panel.set_xticks(range(len(models)), models)
        panel.grid(axis="y", which="both", alpha=0.3)
        panel.set_axisbelow(True)
        panel.legend(ncols=len(peers), fontsize="small", frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
