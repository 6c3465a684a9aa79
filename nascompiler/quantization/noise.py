"""Signal-to-noise: how far a quantised result is from the float one, in decibels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log10

import numpy as np

from nascompiler.ir import Array


@dataclass
class Noise:
    """Energies summed over samples: of the float numbers, and of what differs from them."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, expected: Array, found: Array) -> None:
        """Take in arrays of one shape; what is not finite in the expected one does not count."""
        difference = np.subtract(found, expected, dtype=np.result_type(expected, np.float32))
        finite = np.isfinite(expected)
        counted = True if finite.all() else finite
        self.signal += float(np.square(expected, dtype=difference.dtype).sum(dtype=np.float64, where=counted))
        self.noise += float(np.square(difference, out=difference).sum(dtype=np.float64, where=counted))

    @property
    def decibels(self) -> float:
        """10 log10(signal / noise): inf where nothing differs, -inf where only noise is left."""
        if self.noise == 0:
            return inf
        return 10 * log10(self.signal / self.noise) if self.signal > 0 else -inf


class OutputNoise:
    """The noise of each output of a network by name."""

    def __init__(self) -> None:
        self.outputs: dict[str, Noise] = {}

    def add(self, expected: Mapping[str, Array], found: Mapping[str, Array]) -> None:
        """Take in the outputs of one sample or batch, both by name."""
        for name, array in expected.items():
            self.outputs.setdefault(name, Noise()).add(array, found[name])

    @property
    def decibels(self) -> float:
        """That of the worst output."""
        return min((noise.decibels for noise in self.outputs.values()), default=inf)


def decibels_text(decibels: float) -> str:
    """`31.4 dB`, or `exact` where nothing differs."""
    return "exact" if decibels == inf else f"{decibels:.1f} dB"
