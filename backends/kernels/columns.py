"""How the weights of products of few rows lie in memory: as floats, or as integers of three bytes.

What such products take is the time to read their weights once, so that a quarter fewer bytes is a quarter less time.
Weights of three bytes are integers of 24 bits, in units of the largest of their column: none is off by more than
2 ** -24 of that, which for most sums is less than float32 rounds off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.ir.types import Array, DType

_LARGEST = 2**23 - 1
_SHORT_BYTES = 3


@dataclass(frozen=True)
class Columns:
    """Packed weights [k, n] at an address: panels of one vector of columns, each [k, lanes].

    With a `scale` [n] they are `short`: for each term the upper two bytes of all lanes, then the lowest ones.
    """

    e: Emitter
    start: Pointer
    scale: Pointer | None = None

    @classmethod
    def of(cls, e: Emitter, p: Mapping[str, Pointer], name: str, *, short: bool) -> Columns:
        """Those of a kernel that has pointers by the names `column_pointers` gives."""
        return cls(e, p[name], p[f"{name}_scale"] if short else None)

    @property
    def term_bytes(self) -> int:
        """Bytes of a term of a panel."""
        return self.e.isa.lanes * (_SHORT_BYTES if self.scale is not None else DType.F32.bytes)

    @property
    def _pitch(self) -> int:
        """Elements that a term takes."""
        return self.term_bytes // self.start.dtype.bytes

    def panel(self, number: Index, k: Index) -> Pointer:
        """Where a panel begins."""
        return self.start + number * (k * self._pitch)

    def term(self, panel: Pointer, number: Index, step: int = 0) -> Pointer:
        """Where a term of a panel lies."""
        return panel + number * self._pitch + step * self._pitch

    def load(self, term: Pointer) -> Vector:
        """The weights of a term, in units of the scale if they are short."""
        e, lanes = self.e, self.e.isa.lanes
        if self.scale is None:
            return e.load(term, lanes)
        upper = e.convert(e.load(term.cast(DType.I16), lanes), DType.I32)
        lowest = e.convert(e.load((term + 2 * lanes).cast(DType.U8), lanes), DType.I32)
        return e.convert(upper << 8 | lowest, DType.F32)

    def scaled(self, sums: Sequence[Vector], column: Index, features: Index) -> list[Vector]:
        """Sums of products with the panel of a column, of so many features, in their own units."""
        if self.scale is None:
            return list(sums)
        e, lanes = self.e, self.e.isa.lanes
        place = e.smaller(column, e.larger(features - lanes, 0))  # the last panel ends with the features
        scale = e.load(self.scale + place, lanes)
        return [total * scale for total in sums]


def column_pointers(name: str, *, short: bool) -> dict[str, DType]:
    """The pointers of a kernel for weights and bias of a name."""
    weight = {name: DType.I8, f"{name}_scale": DType.F32} if short else {name: DType.F32}
    return {**weight, f"{name}_bias": DType.F32}


def pack_columns(name: str, weight: Array, bias: Array, lanes: int, *, short: bool) -> dict[str, Array]:
    """`weight` [k, n] and `bias` [n] as kernels read them, by the names of the pointers."""
    panels = Panels.of(weight.shape[1], lanes, 1)
    assert panels is not None
    missing = (0, max(lanes - bias.size, 0))
    arrays = {f"{name}_bias": np.pad(bias, missing)}
    if not short:
        return {name: panels.pack(weight), **arrays}
    largest = np.abs(weight).max(axis=0).astype(np.float64)
    scale = np.where(largest > 0, largest, 1) / _LARGEST
    packed: Array = panels.pack(np.rint(weight.astype(np.float64) / scale).astype(np.int32)).reshape(-1, lanes)
    upper, lowest = np.right_shift(packed, 8).astype(np.int16), np.bitwise_and(packed, 0xFF).astype(np.uint8)
    joined = np.concatenate([upper.view(np.uint8), lowest], axis=1).reshape(-1).view(np.int8)
    return {name: joined, f"{name}_scale": np.pad(scale.astype(np.float32), missing), **arrays}
