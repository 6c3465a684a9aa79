"""Each layer at its best and its bound: how far the code is from the machine, when nothing disturbs it.

    python benchmarks/roofline.py ARTIFACT [RUNS]

On a shared machine medians say how busy the others were; the fastest of many runs of each layer says what the code
can do, beside the fastest of 20 probes of each peak. One thread, pinned to a CPU.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.manifest import TensorSpec
from nascompiler.backends.measure.roofline import Probes, Roofline
from nascompiler.backends.target import parse_target
from nascompiler.bench.session import random_arrays
from nascompiler.cli.common import table

PROBES = 20


def main() -> None:
    folder, *rest = sys.argv[1:]
    runs = int(rest[0]) if rest else 150
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    artifact = load_artifact(folder, threads=1)
    artifact.prepare(random_arrays(artifact.manifest, 0))
    probes = Probes(parse_target(artifact.manifest.target))
    times, taken = [], []
    for run in range(runs):
        layers, _ = artifact.profile()
        times.append([layer.ns for layer in layers])
        if run % max(runs // PROBES, 1) == 0:
            taken.append(probes.take())
    roofline = Roofline.of(taken, fastest=True)
    weights = sum(TensorSpec("", w.shape, w.dtype).type.bytes for w in artifact.manifest.weights)
    best = np.min(times, axis=0)
    bounds = np.array([roofline.bound_ns(layer, weights) for layer in layers])
    table(
        ("layer", "kernel", ">best, µs", ">GMAC/s", ">of bound"),
        [
            (layer.name, layer.kernel, f"{ns / 1e3:.1f}", f"{layer.macs / ns:.1f}", f"{bound / ns:.0%}")
            for layer, ns, bound in zip(layers, best, bounds, strict=True)
        ],
    )
    print(f"sum {best.sum() / 1e6:.2f} ms, bounds {bounds.sum() / 1e6:.2f} ms: {best.sum() / bounds.sum():.2f} times")
    levels = ", ".join(f"{level.name} {level.bytes_per_ns:.0f}" for level in roofline.levels)
    print(f"float32 {roofline.float_macs:.0f}, int8 {roofline.int8_macs:.0f} GMAC/s; GB/s read: {levels}")


if __name__ == "__main__":
    main()
