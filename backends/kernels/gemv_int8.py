"""Product of few rows of bytes with packed weights, exact, with requantisation: `gemv` for integers.

Weights are packed in panels of one vector of columns and read as several streams, each prefetched, as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.dots import Dots, add_dots_of_columns, stage
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer
from nascompiler.backends.kernels.gemm_int8 import finish_tile, product_arrays
from nascompiler.backends.kernels.gemv import PREFETCH_BYTES
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import Requantization
from nascompiler.ir.types import DType

_STREAMS = 4
_UNROLL = 4


@dataclass(frozen=True)
class GemvInt8(Kernel):
    """result [rows, n] = requantised(x [rows, k] @ weight [k, n] + offset [n]), for few rows.

    The arrays are those of `GemmInt8`, with panels of one vector. When `staged`, workspace has rows * groups * group
    elements for each chunk. Threads share columns.
    """

    rows: int
    x_dtype: DType
    requantization: Requantization
    staged: bool = True
    columns: int = 0

    name: ClassVar[str] = "gemv_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return product_arrays(Dots.of(self.isa), self.x_dtype, self.requantization, self.staged)

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("n", "k", "groups", *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        dots, lanes = Dots.of(self.isa), e.isa.lanes
        requantizer = self.requantization.prepare_best(e, p, n)
        length = n["groups"] * dots.group
        x = p["x"]
        if self.staged:
            x = p["workspace"] + n["chunk"] * (length * self.rows)
            stage(e, p["x"], x, self.rows, n["k"], n["groups"], dots)
        rows = [x + length * i for i in range(self.rows)]
        streams = _STREAMS if _STREAMS * self.rows <= e.isa.accumulators else _STREAMS // 2
        first, last = share(e, (n["n"] + (lanes - 1)) // lanes, n)
        each = (last - first) // streams

        def tile(panels: Sequence[Index]) -> None:
            places = [panel * lanes if self.columns else e.smaller(panel * lanes, n["n"] - lanes) for panel in panels]
            sums = [e.load(p["offset"] + place, lanes) for place in places] * self.rows
            columns = [p["weight"] + panel * (length * lanes) for panel in panels]
            ahead = PREFETCH_BYTES // dots.weight.bytes
            size = lanes * dots.group
            sums = add_dots_of_columns(e, rows, columns, size, n["groups"], sums, dots, _UNROLL, ahead)
            finish_tile(e, sums, places, requantizer, p["scale"], p["result"], n["n"], self.columns)

        with e.loop(0, each) as loop:
            tile([first + each * s + loop.index for s in range(streams)])
        with e.loop(first + each * streams, last) as loop:
            tile([loop.index])
