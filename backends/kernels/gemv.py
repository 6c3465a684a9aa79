"""Float32 product of few rows with a matrix: fully connected layers, whose time is that of reading the weights once.

Weights are packed in panels of one vector of columns (columns.py), one behind the other. They are read as several
streams, each ahead of its own by prefetches, since one stream alone leaves half of the memory's bandwidth unused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation
from nascompiler.backends.kernels.columns import Columns, column_pointers
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.backends.kernels.gemm import finish_tile
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.ir.types import DType

MOST_ROWS = 6
"""With more rows than this the sums of two streams fill the registers of the smallest instruction set."""

PREFETCH_BYTES = 2048
"""How far ahead of its reads a stream asks for weights."""

_STREAMS = 4
_PARTIAL_SUMS = 4
_LINE_BYTES = 64


@dataclass(frozen=True)
class Gemv(Kernel):
    """result [rows, n] = activation(x [rows, k] @ weight [k, n] + bias [n] + residual [rows, n]), rows <= MOST_ROWS.

    `columns` is n where it is less than a vector, otherwise 0. `short` weights take three bytes. Threads share columns.
    """

    rows: int
    activation: Activation = NONE
    residual: bool = False
    columns: int = 0
    short: bool = False

    name: ClassVar[str] = "gemv_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        rest = dict.fromkeys([*["residual"] * self.residual, "result"], DType.F32)
        return {"x": DType.F32, **column_pointers("weight", short=self.short), **rest}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("n", "k")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        weight = Columns.of(e, p, "weight", short=self.short)

        def finish(column: Index, sums: Sequence[Vector]) -> None:
            finish_tile(
                e,
                [[total] for total in weight.scaled(sums, column, n["n"])],
                column,
                n["n"],
                bias=p["weight_bias"],
                residual=p["residual"] if self.residual else None,
                result=p["result"],
                row_length=n["n"],
                activation=self.activation,
                columns=self.columns,
            )

        rows = [p["x"] + n["k"] * i for i in range(self.rows)]
        first, last = share(e, (n["n"] + (e.isa.lanes - 1)) // e.isa.lanes, n)
        multiply_rows(e, rows, weight, n["k"], first, last, finish)


def multiply_rows(
    e: Emitter,
    rows: Sequence[Pointer],
    weight: Columns,
    k: Index,
    first: Index,
    last: Index,
    finish: Callable[[Index, Sequence[Vector]], None],
) -> None:
    """rows [k] @ weight for the panels from `first` to `last` - 1.

    `finish(column, sums)` gets for each row the vector of sums that starts at a column, in units of the weights.
    """
    lanes = e.isa.lanes
    streams = _STREAMS if _STREAMS * len(rows) <= e.isa.accumulators else _STREAMS // 2
    partial = next(s for s in (_PARTIAL_SUMS, 2, 1) if s * streams * len(rows) <= e.isa.accumulators or s == 1)

    def tile(panels: Sequence[Index]) -> None:
        sums = _tile(e, rows, weight, [weight.panel(number, k) for number in panels], k, partial)
        for panel, total in zip(panels, sums, strict=True):
            finish(panel * lanes, total)

    each = (last - first) // streams
    with e.loop(0, each) as loop:
        tile([first + each * s + loop.index for s in range(streams)])
    with e.loop(first + each * streams, last) as loop:
        tile([loop.index])


def _tile(
    e: Emitter, rows: Sequence[Pointer], weight: Columns, panels: Sequence[Pointer], k: Index, partial: int
) -> list[list[Vector]]:
    """Sums over k of x[row][k] * weight[k][column] for each panel and row; `partial` sums of each, added at the end."""
    lanes = e.isa.lanes

    def steps(start: Index, count: int, sums: Sequence[Vector]) -> list[Vector]:
        added: list[Vector] = []
        for step in range(count):
            values = [e.broadcast(row + start + step, lanes) for row in rows]
            for panel in panels:
                at = weight.term(panel, start, step)
                if step * weight.term_bytes % _LINE_BYTES < weight.term_bytes:  # a line begins here
                    e.prefetch(at + PREFETCH_BYTES // at.dtype.bytes)
                columns = weight.load(at)
                added += [e.multiply_add(value, columns, sums[len(added) + i]) for i, value in enumerate(values)]
        return added

    zero = e.constant(0, lanes)
    size = len(rows) * len(panels)
    whole = k // partial * partial
    with e.loop(0, whole, partial, [zero] * (size * partial), unroll=1) as loop:
        loop.values = steps(loop.index, partial, loop.values)
    sums = loop.values
    while len(sums) > size:
        half = len(sums) // 2
        sums = [a + b for a, b in zip(sums[:half], sums[half:], strict=True)]
    with e.loop(whole, k, 1, sums, unroll=1) as rest:
        rest.values = steps(rest.index, 1, rest.values)
    return [rest.values[i : i + len(rows)] for i in range(0, size, len(rows))]
