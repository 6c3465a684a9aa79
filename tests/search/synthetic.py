"""A space with conditional choices whose every architecture has a known worth, for tests of what searches it."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np

from nascompiler.ir.text import parse
from nascompiler.search.controllers.decisions import DecisionTable
from nascompiler.spaces import SearchSpace, Vector

SPACE = """nir 1
graph @synthetic(%image: f32[1,32,32,3]) {family=mnasnet} {
  choice @block1.op = [conv, inverted_bottleneck]
  choice @block1.expansion = [3, 6] if @block1.op in [inverted_bottleneck]
  choice @block1.kernel = [3, 5]
  choice @block1.filters = [16, 24, 32]
  choice @block2.op = [conv, depthwise_separable, inverted_bottleneck]
  choice @block2.expansion = [3, 4, 6] if @block2.op in [inverted_bottleneck]
  choice @block2.kernel = [3, 5]
  choice @block2.filters = [24, 32, 40]
  choice @block2.repeats = [1, 2, 3]
  choice @block2.se_ratio = [0.0, 0.25]
  %stem = arch.conv(%image) {filters=16, stride=2}
  %block1 = arch.block(%stem) {op=@block1.op, kernel=@block1.kernel, expansion=@block1.expansion, filters=@block1.filters, stride=2}
  %block2 = arch.block(%block1) {op=@block2.op, kernel=@block2.kernel, expansion=@block2.expansion, filters=@block2.filters, stride=2, repeats=@block2.repeats, se_ratio=@block2.se_ratio}
  %logits = arch.classifier(%block2) {classes=10}
  return logits=%logits
}
"""


@cache
def space() -> SearchSpace:
    return SearchSpace(parse(SPACE))


@cache
def worths(seed: int = 1) -> dict[Vector, tuple[float, float]]:
    """(accuracy, latency in ns) of every architecture: effects of single decisions and of pairs, and noise."""
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
    scaled = (np.array(sums) - np.mean(sums)) / np.std(sums) + generator.normal(scale=0.2, size=len(sums))
    accuracies = 0.85 + 0.05 * np.tanh(scaled * 0.7)
    return {v: (float(a), 1e6 * float(t)) for v, a, t in zip(vectors, accuracies, times, strict=True)}
