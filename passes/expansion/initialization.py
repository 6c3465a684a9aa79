"""Random weights by seed, as trained ones behave: made when first looked at, and never dependent on what came before.

Convolutions and fully connected layers are drawn as He et al. do (arXiv:1502.01852, section 2.2), batch-norm scale and
shift around 1 and 0. The moving statistics of batch norms come from data; see `statistics`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import sqrt

import numpy as np

from nascompiler.ir import Array, Constant, Graph, TensorType
from nascompiler.passes.expansion.statistics import MovingStatistics


@dataclass
class Weights:
    """Makes the constants of one network.

    The values of each depend only on the seed, its name and its shape; `settle` must be called with the finished
    graph before anybody looks at moving statistics. Unless `measured`, these are random numbers too: the network has
    its sizes and its time, but no well-behaved values.
    """

    seed: int = 0
    measured: bool = True
    statistics: MovingStatistics = field(init=False)

    def __post_init__(self) -> None:
        self.statistics = MovingStatistics(self.seed)

    def generator(self, name: str) -> np.random.Generator:
        """The random numbers of the weight `name`."""
        word = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
        return np.random.default_rng([self.seed, word])

    def normal(self, name: str, shape: Sequence[int], deviation: float, mean: float = 0.0) -> Constant:
        """Normally distributed numbers."""

        def make() -> Array:
            drawn = self.generator(name).standard_normal(shape, dtype=np.float32)
            return drawn * np.float32(deviation) + np.float32(mean)

        return self.lazy(shape, make)

    def uniform(self, name: str, shape: Sequence[int], low: float, high: float) -> Constant:
        """Numbers from `low` to `high`."""

        def make() -> Array:
            return (self.generator(name).random(shape) * (high - low) + low).astype(np.float32)

        return self.lazy(shape, make)

    def kernel(self, name: str, shape: Sequence[int], inputs: int, *, gain: float = 2.0) -> Constant:
        """A weight whose outputs sum `inputs` products; `gain` is 2 before a rectifier, 1 before anything linear."""
        return self.normal(name, shape, sqrt(gain / inputs))

    def bias(self, name: str, size: int) -> Constant:
        return self.normal(name, (size,), 0.1)

    def centring_bias(self, name: str, size: int) -> Constant:
        """The bias by which the linear layer `name` gives 0 on average, as the last one does for equal classes."""
        if not self.measured:
            return self.bias(name, size)
        bias = self.lazy((size,), lambda: -self.statistics.of(name)[0])
        self.statistics.register(name, bias)
        return bias

    def batch_norm(self, name: str, size: int) -> tuple[Constant, Constant, Constant, Constant]:
        """Scale, shift, mean and variance of the batch norm `name`."""
        if not self.measured:
            return self._unmeasured(name, size)
        scale = self.uniform(f"{name}.scale", (size,), 0.5, 1.5)
        shift = self.normal(f"{name}.bias", (size,), 0.3)
        mean = self.lazy((size,), lambda: self.statistics.of(name)[0])
        variance = self.lazy((size,), lambda: self.statistics.of(name)[1])
        self.statistics.register(name, mean)
        return scale, shift, mean, variance

    def _unmeasured(self, name: str, size: int) -> tuple[Constant, Constant, Constant, Constant]:
        """Numbers for a batch norm that only has to be there, all from one generator: making that takes longest."""

        @cache
        def drawn() -> Array:
            numbers: Array = self.generator(name).random((4, size), dtype=np.float32)
            return numbers

        def row(index: int, low: float) -> Constant:
            return self.lazy((size,), lambda: drawn()[index] + np.float32(low))

        return row(0, 0.5), row(1, -0.5), row(2, -0.5), row(3, 0.5)

    def settle(self, graph: Graph) -> None:
        """Let moving statistics come from this graph, as it is now."""
        self.statistics.source = graph.clone()

    @staticmethod
    def lazy(shape: Sequence[int], make: Callable[[], Array]) -> Constant:
        """A float32 constant of values made when first asked for."""
        return Constant.lazy(TensorType(tuple(shape)), make)

    @staticmethod
    def zeros(shape: Sequence[int]) -> Constant:
        """Float32 zeros."""
        return Constant.of(np.zeros(shape, np.float32))
