"""Matrix product of bytes by tile registers (AMX), exact, with requantisation.

Four tiles of sums are under way: one tile of rows by four of columns in a wide panel, two by two or four by one in the
panels that are left. They begin with the offsets and go through memory to be requantised, in sixteen pieces of four
vectors, while the tiles of the next rows are multiplied. Rows are read where they are, up to 63 bytes too far, which
meet weights of zero; only the last ones, behind which memory ends, are staged. The last tile of rows and the last panel
of each width overlap the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nascompiler.backends.kernels.depthwise_int8 import wide_channels
from nascompiler.backends.kernels.dots import Dots, stage
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import PackedRequantizer, Requantization, Requantizer
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, AmxTiles, Tiles
from nascompiler.ir.types import Array, DType

SUMS = 4
"""Tiles of sums: vectors of columns in the widest panel, and vectors that are requantised together."""

PIECES = TILE_ROWS
"""Pieces of SUMS vectors in which the sums are requantised."""

WIDTHS = (4, 2, 1)
"""Vectors of columns in the panels of each kind."""

_SUMS_BYTES = SUMS * TILE_ROWS * TILE_BYTES


@dataclass(frozen=True)
class TilePanels:
    """How `columns` are cut: how many panels of each of WIDTHS, in this order; at least a vector of columns."""

    columns: int
    counts: tuple[int, int, int]

    @classmethod
    def of(cls, columns: int, *, wide: bool = True) -> TilePanels:
        """The cut that computes the fewest columns twice, with panels of the first of WIDTHS only where `wide`."""
        vectors = -(-columns // TILE_ROWS)
        first = (vectors + 1) // WIDTHS[0] if wide and columns >= WIDTHS[0] * TILE_ROWS else 0
        left = max(vectors - first * WIDTHS[0], 0)
        second = left // WIDTHS[1] if columns >= WIDTHS[1] * TILE_ROWS else 0
        return cls(columns, (first, second, left - second * WIDTHS[1]))

    def lanes(self, *, interleaved: bool) -> list[Array]:
        """The columns of every panel, vector by vector; those of a wide one as bytes are packed if `interleaved`."""
        made, start = [], 0
        for width, count in zip(WIDTHS, self.counts, strict=True):
            order = wide_channels(TILE_ROWS) if interleaved and width == WIDTHS[0] else range(width * TILE_ROWS)
            for _ in range(count):
                made.append(np.asarray(order) + min(start, self.columns - width * TILE_ROWS))
                start += width * TILE_ROWS
        return made


def staged_rows(m: int, k: int) -> int:
    """How many of the last rows have to be staged: those of tiles that would be read behind the end."""
    length = -(-k // TILE_BYTES) * TILE_BYTES
    return 0 if length == k else min(TILE_ROWS - 2 - -length // k, m)


def workspace_bytes(m: int, k: int) -> int:
    """What a chunk needs: the sums of a unit, and the staged rows."""
    return _SUMS_BYTES + staged_rows(m, k) * -(-k // TILE_BYTES) * TILE_BYTES


@dataclass(frozen=True)
class GemmAmx(Kernel):
    """result [m, n] = requantised(x [m, k] @ weight [k, n] + offset [n]), m >= 16 and n >= 16.

    weight holds for each panel [blocks * 16, columns, 4]: `blocks` times 64 terms, the missing ones zero; offset and
    scale are those of the panels' columns. `share` is the workspace of a chunk, `staged` the rows staged there. `band`
    rows meet all panels before the next ones. `pieces` are requantised beside each block, `ahead` lines of the next
    panel's weights asked for. Threads share bands and panels.
    """

    x_dtype: DType
    requantization: Requantization

    name: ClassVar[str] = "gemm_amx"

    def tiles(self, e: Emitter) -> Tiles:
        """The tile registers to use."""
        return AmxTiles(e)

    @property
    def pointers(self) -> Mapping[str, DType]:
        read = {"x": self.x_dtype, "weight": DType.I8, "offset": DType.I32, "tiles": DType.U8}
        return {
            **read,
            **self.requantization.pointers,
            "result": self.requantization.dtype,
            "workspace": self.x_dtype,
        }

    @property
    def sizes(self) -> tuple[str, ...]:
        cut = ["blocks", "wide", "double", "single", "band", "share", "staged", "pieces", "ahead"]
        return ("m", "n", "k", *cut, *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        tiles = self.tiles(e)
        requantizer = self.requantization.prepare_best(e, p, n)
        workspace = p["workspace"] + n["chunk"] * n["share"]
        staged = workspace + _SUMS_BYTES
        with e.when(n["staged"] > 0):
            source = p["x"] + (n["m"] - n["staged"]) * n["k"]
            stage(e, source, staged, n["staged"], n["k"], n["blocks"], amx_dots(self.x_dtype))
        tiles.configure(p["tiles"])
        counts = [n["wide"], n["double"], n["single"]]
        panels = counts[0] + counts[1] + counts[2]
        first, last = share(e, (n["m"] + (n["band"] - 1)) // n["band"] * panels, n)
        with e.loop(first, last) as item:
            start = item.index // panels * n["band"]
            rows = (start, e.smaller(start + n["band"], n["m"]))
            number: Index = item.index % panels
            before: Index = e.index(0)
            for width, count in zip(WIDTHS, counts, strict=True):
                with e.when(number >= 0), e.when(number < count):
                    panel = _Panel(self, e, tiles, requantizer, p, n, width, before + number * (width * TILE_ROWS))
                    panel.multiply(rows, workspace.cast(DType.I32), staged)
                number, before = number - count, before + count * (width * TILE_ROWS)
        tiles.release()


@dataclass(frozen=True)
class _Panel:
    """Emits the products of some rows with a panel of columns, whose constants begin at the column `at`."""

    kernel: GemmAmx
    e: Emitter
    tiles: Tiles
    requantizer: Requantizer | PackedRequantizer
    p: Mapping[str, Pointer]
    n: Mapping[str, Index]
    vectors: int
    at: Index

    @property
    def _row_tiles(self) -> int:
        return SUMS // self.vectors

    def _row(self, unit: Index, tile: int, rows: tuple[Number, Number]) -> Index:
        """The first row of a tile of a unit."""
        row = (unit * self._row_tiles + tile) * TILE_ROWS + rows[0]
        return self.e.index(self.e.smaller(row, self.n["m"] - TILE_ROWS))

    def multiply(self, rows: tuple[Number, Number], sums: Pointer, staged: Pointer) -> None:
        """The rows from the first to the last, some tiles at a time; results follow one unit behind."""
        e, n, tiles = self.e, self.n, self.tiles
        height = self._row_tiles * TILE_ROWS
        units = (e.index(rows[1]) - rows[0] + (height - 1)) // height
        weight = self.p["weight"] + self.at * (n["blocks"] * TILE_BYTES)
        width = self.vectors * TILE_ROWS
        following = weight + n["blocks"] * (width * TILE_BYTES)
        place = e.index(e.smaller(self.at, n["n"] - width))
        with e.loop(0, units + 1) as unit:
            is_left = unit.index < units
            waiting = e.choose(unit.index > 0, PIECES, 0)
            sources = [self._source(self._row(unit.index, r, rows), staged) for r in range(self._row_tiles)]
            earlier = [self._row(unit.index - 1, r, rows) for r in range(self._row_tiles)]

            def work(block: Index, begin: Callable[[int], None] | None) -> None:
                """The products of 64 terms, and some pieces of the unit before."""
                self._dots(weight + block * (width * TILE_BYTES), block, sources, begin)
                lines = following + (unit.index * n["blocks"] + block) * n["ahead"] * TILE_BYTES
                with e.loop(0, n["ahead"], unroll=1) as line:
                    e.prefetch(lines + line.index * TILE_BYTES, level=2)
                start = e.smaller(block * n["pieces"], waiting)
                pieces(start, e.smaller((block + 1) * n["pieces"], waiting))

            def pieces(start: Number, stop: Number) -> None:
                with e.loop(start, stop, unroll=1) as piece:
                    self._finish(sums, piece.index, earlier, place)

            def store(tile: int) -> None:
                tiles.store(tile, sums + tile * (TILE_ROWS * TILE_ROWS), TILE_BYTES)

            def renew(tile: int) -> None:
                """The sums of the unit before give way to new ones: apart, each would wait for all."""
                store(tile)
                tiles.load(tile, self.p["offset"] + self.at + tile % self.vectors * TILE_ROWS, 0)

            with e.when(is_left):
                work(e.index(0), renew)
                with e.loop(1, n["blocks"], unroll=1) as block:
                    work(block.index, None)
            with e.when(e.neither(is_left)):
                for i in range(SUMS):
                    store(i)
                pieces(0, waiting)

    def _source(self, row: Index, staged: Pointer) -> tuple[Pointer, Index]:
        """Where a tile's rows begin, and how far apart they are."""
        e, n = self.e, self.n
        length = n["blocks"] * TILE_BYTES
        first = n["m"] - n["staged"]
        is_staged = row >= first
        there = e.choose_pointer(is_staged, staged + (row - first) * length, self.p["x"] + row * n["k"])
        return there, e.choose(is_staged, length, n["k"])

    def _dots(
        self,
        weight: Pointer,
        block: Index,
        sources: Sequence[tuple[Pointer, Index]],
        begin: Callable[[int], None] | None,
    ) -> None:
        """Add the products of 64 terms to the sums, each of which may first have to `begin`."""
        tiles, x_dtype = self.tiles, self.kernel.x_dtype
        rows, vectors = self._row_tiles, self.vectors

        def load_weight(v: int) -> int:
            register = SUMS + min(rows, 2) + v % (3 if rows == 1 else 2)
            tiles.load(register, weight + v * TILE_BYTES, vectors * TILE_BYTES)
            return register

        columns = [] if rows == 1 else [load_weight(v) for v in range(vectors)]
        free = [SUMS, SUMS + 1, SUMS + 3] if vectors == 1 else [SUMS, SUMS + 1]
        for r, (source, stride) in enumerate(sources):
            register = free[r % len(free)]
            tiles.load(register, source + block * TILE_BYTES, stride)
            for v in range(vectors):
                column = columns[v] if columns else load_weight(v)
                if begin is not None:
                    begin(r * vectors + v)
                tiles.dot(r * vectors + v, register, column, x_dtype)

    def _finish(self, sums: Pointer, piece: Index, rows: Sequence[Index], place: Index) -> None:
        """Store the results of a piece: a row in the widest panel, else two or four neighbouring rows of a tile."""
        e, lanes, vectors = self.e, TILE_ROWS, self.vectors
        height = SUMS // vectors
        tile = piece // (PIECES // self._row_tiles)
        line = piece * height - tile * TILE_ROWS
        first = rows[-1]
        for i in range(len(rows) - 2, -1, -1):
            first = e.choose(tile <= i, rows[i], first)
        at = sums + tile * (vectors * TILE_ROWS * lanes) + line * lanes
        found = [e.load(at + (v * TILE_ROWS + i) * lanes, lanes) for i in range(height) for v in range(vectors)]
        scales = [e.load(self.p["scale"] + self.at + v * lanes, lanes) for v in range(vectors)] * height
        result = self.p["result"] + (first + line) * self.n["n"] + place
        for i, row in enumerate(self._rows(found, scales)):
            for v, part in enumerate(row):
                e.store(part, result + self.n["n"] * i + v * lanes)

    def _rows(self, sums: Sequence[Vector], scales: Sequence[Vector]) -> list[list[Vector]]:
        """The results of a piece, row by row in as few vectors as they come in."""
        vectors, requantizer = self.vectors, self.requantizer
        if isinstance(requantizer, Requantizer):
            values = requantizer.each(sums, scales)
            return [values[i : i + vectors] for i in range(0, SUMS, vectors)]
        packed = requantizer(sums, scales)
        if vectors == SUMS:
            return [[packed]]
        ordered, width = requantizer.in_order(packed), vectors * TILE_ROWS
        return [[self.e.part(ordered, i, width)] for i in range(0, SUMS * TILE_ROWS, width)]


def amx_dots(x: DType) -> Dots:
    """How rows of bytes lie for tiles: in groups as long as a tile is wide, signed or not."""
    return Dots(TILE_BYTES, x, DType.I8)
