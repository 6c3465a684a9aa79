"""Matrix product of bytes with packed weights, exact, with requantisation: `gemm` for integers.

Tiles and panels are those of the float32 product. Rows that the processor cannot multiply as they are, because they are
signed or no whole number of groups, are staged in the workspace once for all panels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.cpu.tiling import lane_pieces
from nascompiler.backends.kernels.dots import Dots, add_dots, stage
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.gemm import each_panel, zip_offsets
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.matrix_dots import MATRIX_DOTS, add_matrix_dots
from nascompiler.backends.kernels.requantize import PackedRequantizer, Requantization, Requantizer
from nascompiler.ir.types import DType

PACKED = 4
"""Vectors of sums whose bytes fill one."""

UNROLL = 2
"""Groups of terms between two branches."""


def product_arrays(dots: Dots, x: DType, requantization: Requantization, staged: bool) -> dict[str, DType]:
    """The arrays of an integer product in order, with a workspace where rows are staged."""
    read = {"x": x, "weight": dots.weight, "offset": DType.I32, **requantization.pointers}
    return {**read, "result": requantization.dtype, **({"workspace": dots.x} if staged else {})}


@dataclass(frozen=True)
class GemmInt8(Kernel):
    """result [m, n] = requantised(x [m, k] @ weight [k, n] + offset [n]), m >= rows.

    weight, of `groups` groups of terms, holds for each panel [groups, columns]; offset is the bias less the share of
    zero points. `columns` is n where it is less than a vector, otherwise 0. When `staged`, workspace has groups * group
    elements for each row: the `rows` of a tile, or all m when `panels_outside`, and that for each chunk. Threads share
    tiles of rows, or panels when `panels_outside`, which suits weights that exceed the cache. `by_matrices` multiplies
    small matrices in place of rows, for weights as MATRIX_DOTS packs them. `whole` says that panels fill n, so that no
    vector moves back, `few_groups` how many groups there are, or 0 for any number, and `is_long` that there are more
    than SMALL_GROUPS.
    """

    rows: int
    vectors: int
    x_dtype: DType
    requantization: Requantization
    staged: bool = True
    panels_outside: bool = False
    columns: int = 0
    by_matrices: bool = False
    whole: bool = False
    few_groups: int = 0
    is_long: bool = False

    name: ClassVar[str] = "gemm_int8"

    @property
    def dots(self) -> Dots:
        """How rows and weights lie."""
        return MATRIX_DOTS if self.by_matrices else Dots.of(self.isa)

    @property
    def pointers(self) -> Mapping[str, DType]:
        return product_arrays(self.dots, self.x_dtype, self.requantization, self.staged)

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("m", "n", "k", "groups", "wide", "narrow", *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        dots = self.dots
        requantizer = self.requantization.prepare_best(e, p, n)
        length = n["groups"] * dots.group
        tiles, panels = (n["m"] + (self.rows - 1)) // self.rows, n["wide"] + n["narrow"]
        first, last = share(e, panels if self.panels_outside else tiles, n)

        def staged(row: Number, rows: Number) -> Pointer:
            """Some rows from `row` on, as they are multiplied."""
            if not self.staged:
                return p["x"] + row * n["k"]
            copy = p["workspace"] + n["chunk"] * (length * rows)
            stage(e, p["x"] + row * n["k"], copy, rows, n["k"], n["groups"], dots)
            return copy

        def tile(x: Pointer, row: Number, column: Index, vectors: int) -> None:
            places = places_of(e, column, vectors, n["n"], self.columns, whole=self.whole)
            rows = [x + length * i for i in range(self.rows)]
            weight = p["weight"] + column * length
            if self.by_matrices:
                offsets = [e.load(p["offset"] + place, e.isa.lanes) for place in places]
                sums = add_matrix_dots(e, rows, weight, n["groups"], offsets)
            else:
                sums = first_sums(e, p["offset"], places, self.rows)
                groups = self.few_groups or n["groups"]
                sums = add_dots(e, rows, weight, groups, sums, dots, UNROLL, long=self.is_long)
            result = p["result"] + row * n["n"]
            finish_tile(e, sums, places, requantizer, p["scale"], result, n["n"], self.columns, whole=self.whole)

        if self.panels_outside:
            x = staged(0, n["m"])

            def panel(column: Index, vectors: int) -> None:
                with e.loop(0, tiles) as loop:
                    row = e.smaller(loop.index * self.rows, n["m"] - self.rows)
                    tile(x + row * length, row, column, vectors)

            each_panel(e, self.vectors, n["wide"], first, last, panel)
            return
        with e.loop(first, last) as loop:
            row = e.smaller(loop.index * self.rows, n["m"] - self.rows)
            x = staged(row, self.rows)
            each_panel(e, self.vectors, n["wide"], 0, panels, lambda column, vectors: tile(x, row, column, vectors))


def places_of(
    e: Emitter, column: Index, vectors: int, features: Number, columns: int, *, whole: bool = False
) -> list[Number]:
    """Where the vectors of a panel from `column` on stand among the features.

    The last moves back to end with them, unless all panels are `whole`.
    """
    lanes = e.isa.lanes
    places: list[Number] = [column + v * lanes for v in range(vectors)]
    if not columns and not whole:
        places[-1] = e.smaller(places[-1], e.index(features) - lanes)
    return places


def first_sums(e: Emitter, offset: Pointer, places: Sequence[Number], rows: int) -> list[Vector]:
    """What the sums of a tile begin with, row by row.

    On ARM each row's are loaded: a copy of a register takes the place of a product, a load does not.
    """
    count = rows if e.multiplies_by_lane else 1
    bases = [e.opaque_pointer(offset) if i else offset for i in range(count)]
    return [e.load(base + place, e.isa.lanes) for base in bases for place in places] * (rows // count)


def finish_tile(
    e: Emitter,
    sums: Sequence[Vector],
    places: Sequence[Number],
    requantizer: Requantizer | PackedRequantizer,
    scale: Pointer,
    result: Pointer,
    row_length: Number,
    columns: int,
    *,
    whole: bool = False,
) -> None:
    """Store the results of sums, row by row; `columns` is their number where it is less than a vector.

    `whole` says that the vectors of a row are neighbours: bytes of four vectors are then stored together.
    """
    lanes = e.isa.lanes
    pieces = list(zip_offsets(lane_pieces(columns, lanes))) if columns else [(0, lanes)]
    rows = len(sums) // len(places)
    scales = [e.load(scale + place, lanes) for place in places]
    if whole and len(places) == PACKED and isinstance(requantizer, PackedRequantizer):
        for i in range(rows):
            packed = requantizer.in_order(requantizer(sums[PACKED * i : PACKED * (i + 1)], scales))
            e.store(packed, result + row_length * i + places[0])
        return
    scales = scales * rows
    values = iter(requantizer.each(sums, scales))
    for i in range(rows):
        for place in places:
            value = next(values)
            for offset, piece in pieces:
                part = value if piece == lanes else e.part(value, offset, piece)
                e.store(part, result + row_length * i + place + offset)
