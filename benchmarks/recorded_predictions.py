"""Latencies of the recorded benchmark beside predictions for the same architectures: nothing is measured.

    nascompiler latency-table build --space mnasnet-glyphs --target cpu
    python -m benchmarks.recorded_predictions [--architectures 100] [--seed 3]

Predictions are sums of rows of the latency table of this machine; the recorded latencies are of the machine that the
benchmark was made on. One factor between the two is that of the machines and their states, and is taken out of the
second error.
"""

from __future__ import annotations

import argparse
import random

import numpy as np

from nascompiler import spaces
from nascompiler.backends.predict import predict
from nascompiler.backends.target import parse_target
from nascompiler.search.latency.check import rank_correlation
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.recorded import benchmark, load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    space, target = spaces.load(benchmark.SPACE), parse_target("cpu")
    rows = list(load().values())
    random.Random(arguments.seed).shuffle(rows)
    recorded, predicted, missing = [], [], 0
    for row in rows[: arguments.architectures]:
        found = predict(lowered(space.architecture(row.vector), target), target)
        missing += len(found.missing)
        recorded.append(row.latency_ns or np.nan)
        predicted.append(found.latency.median_ns)
    if missing:
        raise SystemExit(f"{missing} kernel calls are not in the table; build it first")
    ratios = np.array(predicted) / np.array(recorded)
    factor = float(np.median(ratios))
    print(
        f"{len(ratios)} architectures: mean error {np.abs(ratios - 1).mean():.1%}, median ratio {factor:.3f}, "
        f"mean error after that factor {np.abs(ratios / factor - 1).mean():.1%}, "
        f"rank correlation {rank_correlation(predicted, recorded):.3f}"
    )


if __name__ == "__main__":
    main()
