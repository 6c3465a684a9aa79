"""The image of weight memory: where tiles and parameters stand, and, where values are wanted, what they are."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.isa.opcodes import DRAM_UNIT

Bytes = NDArray[np.uint8]


def aligned(size: int, unit: int = DRAM_UNIT) -> int:
    """The size rounded up to a multiple of a unit."""
    return -(-size // unit) * unit


class WeightMemory:
    """Pieces of weight memory, each once. Without `values` only their places are known: all that time needs."""

    def __init__(self, *, values: bool) -> None:
        self.values = values
        self.end = 0
        self._places: dict[Hashable, int] = {}
        self._pieces: list[tuple[int, Bytes]] = []

    def place(self, key: Hashable, size: int, make: Callable[[], Bytes]) -> int:
        """The address of the piece that `key` stands for; `make` gives its bytes, and is only asked once."""
        if key in self._places:
            return self._places[key]
        address = self.end
        self._places[key] = address
        self.end = aligned(address + size)
        if self.values:
            piece = make()
            assert piece.nbytes == size, (key, piece.nbytes, size)
            self._pieces.append((address, piece))
        return address

    def image(self) -> Bytes:
        """All bytes; nothing without values."""
        if not self.values:
            return np.zeros(0, np.uint8)
        made = np.zeros(self.end, np.uint8)
        for address, piece in self._pieces:
            made[address : address + piece.nbytes] = piece.reshape(-1)
        return made
