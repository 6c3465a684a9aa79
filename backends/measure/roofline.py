"""What this machine can do at most, measured: arithmetic by type, reads by level of the memory; and bounds from it.

One thread. A bound says how long a call takes at least when nothing else is in its way (the roofline model of Williams,
Waterman and Patterson, 2009): the longer of its arithmetic at the peak and its bytes, each read or written once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nascompiler.backends.cpu.slicing import PRODUCTS, is_sliced
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.kernels.native import Function, load
from nascompiler.backends.kernels.probes import TILE_SUMS, PeakDot, PeakMultiplyAdd, PeakTileDot, ReadBandwidth
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, tile_configuration
from nascompiler.backends.measure.latency import LayerTime
from nascompiler.backends.memory import aligned
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array, DType

_PROBE_NS = 2e5
"""How long a probe runs: so short that most are not interrupted, even on a busy machine."""

_TRIES = 5
"""The fastest of so many counts: a peak is what can be reached."""

"""Sizes of caches in bytes where the machine does not tell."""


@dataclass(frozen=True)
class Level:
    """A level of the memory: its name, its size in bytes (the last one has no end), bytes read per ns."""

    name: str
    size: int
    bytes_per_ns: float


@dataclass(frozen=True)
class Roofline:
    """Peaks of one thread in multiply-adds per ns, and the levels of the memory from the fastest to the slowest."""

    float_macs: float
    int8_macs: float
    levels: tuple[Level, ...]

    @classmethod
    def of(cls, probes: Sequence[Mapping[str, Any]], *, fastest: bool = False) -> Roofline:
        """The medians of some probes (see `Probes.take`), or the fastest of each kind, to go with fastest times."""
        typical = np.max if fastest else np.median
        names = [name for name, _, _ in probes[0]["levels"]]
        rates = typical([[rate for _, _, rate in probe["levels"]] for probe in probes], axis=0)
        sizes = [size for _, size, _ in probes[0]["levels"]]
        return cls(
            float(typical([probe["float_macs"] for probe in probes])),
            float(typical([probe["int8_macs"] for probe in probes])),
            tuple(Level(n, s, float(r)) for n, s, r in zip(names, sizes, rates, strict=True)),
        )

    def level(self, size: int) -> Level:
        """The fastest level that holds so many bytes."""
        return next((level for level in self.levels if size <= level.size), self.levels[-1])

    def bound_ns(self, layer: LayerTime, weights: int) -> float:
        """The least time of a layer of a network with so many bytes of weights.

        Weights come from the level that holds all of the network's, since the other layers come in between; activations
        from the level that holds the layer's own. Products in slices take PRODUCTS products of bytes each.
        """
        macs = self.int8_macs if layer.is_integer else self.float_macs
        if is_sliced(layer.kernel):
            macs = self.int8_macs / PRODUCTS
        activations = layer.bytes - layer.weight_bytes
        moved = activations / self.level(activations).bytes_per_ns
        moved += layer.weight_bytes / self.level(weights).bytes_per_ns
        return max(layer.macs / macs, moved)


class Probes:
    """The probes of a target's instruction set, compiled and with their arrays."""

    def __init__(self, target: Target) -> None:
        isa, host = target.isa, target.host
        self._float, self._read = PeakMultiplyAdd(isa), ReadBandwidth(isa)
        self._dot = PeakTileDot(isa) if "amx" in isa.dots else PeakDot(isa)
        kernels: list[Kernel] = [self._float, self._dot, self._read]
        self._functions = load(kernels)
        caches = [host.l1_data_bytes, host.l2_bytes, host.l3_bytes]
        sizes = [caches[0] // 2, caches[1] // 2, caches[2] // 4, 2 * caches[2]]
        self._levels = list(zip(("L1", "L2", "L3", "memory"), [*caches, 1 << 62], sizes, strict=True))
        step = isa.lanes * 8 * DType.F32.bytes
        self._array = aligned((max(sizes) // step * step // DType.F32.bytes,), DType.F32)
        self._array.fill(1)  # memory that was never written is no memory
        self._step = step
        self._result = aligned((isa.lanes,), DType.F32)
        random = np.random.default_rng(0)
        self._vectors = aligned((5 * isa.lanes,), DType.F32)
        self._vectors[:] = random.uniform(-1, 1, self._vectors.size)  # factors with which sums stay small
        self._bytes = self._vectors
        if isinstance(self._dot, PeakTileDot):
            tiles = random.integers(0, 256, TILE_SUMS * TILE_ROWS * TILE_BYTES, np.uint8)
            self._bytes = np.concatenate([tile_configuration(), tiles])

    def take(self) -> dict[str, Any]:
        """One measurement of everything: multiply-adds per ns, and for each level name, size and bytes per ns."""
        levels = []
        for name, limit, size in self._levels:
            elements = size // self._step * self._step // DType.F32.bytes
            rate = self._rate(self._read, self._array, elements * DType.F32.bytes, elements)
            levels.append([name, limit, rate])
        return {
            "float_macs": self._rate(self._float, self._vectors, self._float.work),
            "int8_macs": self._rate(self._dot, self._bytes, self._dot.work),
            "levels": levels,
        }

    def _rate(self, kernel: Kernel, x: Array, work: int, *sizes: int) -> float:
        """Work per ns: as many repeats as fill the time of a probe."""
        function: Function = self._functions[kernel.symbol]

        def run(repeats: int) -> int:
            start = time.perf_counter_ns()
            function(x.ctypes.data, self._result.ctypes.data, *sizes, repeats, 0, 1)
            return max(time.perf_counter_ns() - start, 1)

        repeats = 1
        while (spent := min(run(repeats), run(repeats))) < _PROBE_NS / 4:
            repeats *= 4
        repeats = max(1, int(repeats * _PROBE_NS / spent))
        return work * repeats / min(run(repeats) for _ in range(_TRIES))
