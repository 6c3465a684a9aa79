"""One thread and several in turns: what threads are worth, for the whole network and layer by layer.

    python benchmarks/threads.py ARTIFACT [--threads 2] [--rounds 60] [--layers]

The speed-up is that of the quickest runs, and, with its median absolute deviation, the median over the rounds, each of
which runs a burst with one thread and one with several. A second core that somebody else uses shows in the second
figure only.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from nascompiler.backends.artifact import Artifact, load_artifact
from nascompiler.bench.session import random_arrays
from nascompiler.cli.common import table

BURST_S = 0.05


def burst(artifact: Artifact, threads: int) -> list[float]:
    """Times of runs in ns, for about `BURST_S`."""
    artifact.threads = threads
    artifact.step()
    taken: list[float] = []
    while sum(taken) < BURST_S * 1e9:
        start = time.perf_counter_ns()
        artifact.step()
        taken.append(time.perf_counter_ns() - start)
    return taken


def layers(artifact: Artifact, threads: int, runs: int) -> None:
    """Print the layers that lose most of what the threads could save."""
    best: dict[int, np.ndarray] = {}
    for _ in range(runs):
        for count in (1, threads):
            artifact.threads = count
            found, _ = artifact.profile()
            times = np.array([layer.ns for layer in found], float)
            best[count] = np.minimum(best.get(count, times), times)
    lost = best[threads] - best[1] / threads
    rows = [
        (
            found[i].name,
            found[i].kernel,
            f"{best[1][i] / 1e3:.1f}",
            f"{best[threads][i] / 1e3:.1f}",
            f"{best[1][i] / best[threads][i]:.2f}",
            f"{lost[i] / 1e3:.1f}",
        )
        for i in np.argsort(-lost)[:40]
    ]
    table(("layer", "kernel", ">one, µs", f">{threads}, µs", ">times", ">lost, µs"), rows)
    print(f"sums {best[1].sum() / 1e6:.3f} and {best[threads].sum() / 1e6:.3f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--layers", action="store_true", help="show layers as well")
    arguments = parser.parse_args()
    artifact = load_artifact(arguments.artifact, threads=1)
    artifact.prepare(random_arrays(artifact.manifest, 0))
    one, several = [], []
    for _ in range(arguments.rounds):
        one.append(burst(artifact, 1))
        several.append(burst(artifact, arguments.threads))
    ratios = np.array([np.median(a) / np.median(b) for a, b in zip(one, several, strict=True)])
    quickest = [min(min(taken) for taken in bursts) for bursts in (one, several)]
    print(
        f"{arguments.artifact}: one thread {quickest[0] / 1e6:.2f} ms, {arguments.threads} threads "
        f"{quickest[1] / 1e6:.2f} ms: {quickest[0] / quickest[1]:.2f} times; rounds "
        f"{np.median(ratios):.2f} ± {np.median(np.abs(ratios - np.median(ratios))):.2f}"
    )
    if arguments.layers:
        layers(artifact, arguments.threads, arguments.rounds)


if __name__ == "__main__":
    main()
