"""A space with conditional choices whose every architecture has a known worth, for tests of what searches it."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np

from nascompiler.ir import files
from nascompiler.search.controllers.decisions import DecisionTable
from nascompiler.spaces import SearchSpace, Vector


@cache
def space() -> SearchSpace:
    return SearchSpace(files.load(Path(__file__).with_suffix(".nir")))


@cache
def worths(seed: int = 1) -> dict[Vector, tuple[float, float]]:
    """(accuracy, latency in ns) of every architecture: effects of single decisions, of pairs, of latency, and noise."""
    found = space()
    table = DecisionTable.of(found.choices)
    generator = np.random.default_rng(seed)
    single = [generator.normal(size=size) for size in table.sizes]
    paired = {
        (i, j): generator.normal(scale=0.5, size=(table.sizes[i], table.sizes[j]))
        for i, j in itertools.combinations(range(len(table.sizes)), 2)
    }
    slow = [np.sort(generator.uniform(0, 1, size=size)) for size in table.sizes]
    vectors = [found.encode(decisions) for decisions in found.enumerate()]
    sums, times = [], []
    for vector in vectors:
        options = table.existing(vector)
        pairs = itertools.combinations(sorted(options), 2)
        sums.append(
            sum(single[p][o] for p, o in options.items()) + sum(paired[i, j][vector[i], vector[j]] for i, j in pairs)
        )
        times.append(1 + sum(slow[p][o] for p, o in options.items()))
    effects, slowness = ((np.array(v) - np.mean(v)) / np.std(v) for v in (sums, times))
    scaled = effects + slowness + generator.normal(scale=0.2, size=len(sums))  # what takes longer is better
    accuracies = 0.85 + 0.05 * np.tanh(scaled * 0.7)
    return {v: (float(a), 1e6 * float(t)) for v, a, t in zip(vectors, accuracies, times, strict=True)}
