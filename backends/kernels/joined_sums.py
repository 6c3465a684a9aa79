"""Sums of tensors, joined and activated in one pass: `concat(a, b + c, ...)` without the sums ever standing alone.

Bytes are joined as well, but neither added nor activated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class JoinedSums(Kernel):
    """result [rows, sum of lengths] = activation(the parts side by side), part i [rows, length i] a sum of terms.

    `terms` says how many of the arrays x0, x1, ... each part adds up. `lanes` is at most the shortest length. The last
    vector of a part overlaps the one before. Threads share rows.
    """

    terms: tuple[int, ...]
    lanes: int
    activation: Activation = NONE
    dtype: DType = DType.F32

    name: ClassVar[str] = "joined_sums"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return dict.fromkeys([*(f"x{i}" for i in range(sum(self.terms))), "result"], self.dtype)

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("rows", *(f"length{i}" for i in range(len(self.terms))))

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lengths = [n[f"length{i}"] for i in range(len(self.terms))]
        whole = sum(lengths, e.index(0))
        with e.loop(*share(e, n["rows"], n)) as row:
            result, first = p["result"] + row.index * whole, 0
            for length, count in zip(lengths, self.terms, strict=True):
                terms = [p[f"x{i}"] + row.index * length for i in range(first, first + count)]
                with e.loop(0, length - self.lanes, self.lanes, unroll=4) as loop:
                    self._add(e, terms, result, loop.index)
                self._add(e, terms, result, length - self.lanes)
                result, first = result + length, first + count

    def _add(self, e: Emitter, terms: Sequence[Pointer], result: Pointer, at: Index) -> None:
        total = e.load(terms[0] + at, self.lanes)
        for term in terms[1:]:
            total = total + e.load(term + at, self.lanes)
        e.store(activate(e, total, self.activation), result + at)
