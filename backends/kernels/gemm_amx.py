"""Matrix product of bytes by tile registers (AMX), exact, with requantisation.

Two tiles of 16 rows meet one or two tiles of 16 columns: four tiles of sums, which go through memory to be requantised.
Rows that are no whole number of tiles long are staged. The last tile of rows and the last vector of columns overlap the
one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.dots import Dots, stage
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer
from nascompiler.backends.kernels.gemm import each_panel
from nascompiler.backends.kernels.gemm_int8 import finish_tile, places_of
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import Requantization
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, AmxTiles, Tiles
from nascompiler.ir.types import DType

ROW_TILES = 2
VECTORS = 2
"""Tiles of rows and, in a wide panel, of columns that are multiplied with each other."""

SUMS_BYTES = ROW_TILES * VECTORS * TILE_ROWS * TILE_BYTES
"""What the sums need of the workspace."""

_STORED = 4
"""Rows of sums that are requantised at once."""


@dataclass(frozen=True)
class GemmAmx(Kernel):
    """result [m, n] = requantised(x [m, k] @ weight [k, n] + offset [n]), m >= 16 and n >= 16.

    weight holds for each panel [blocks * 16, columns, 4]: `blocks` times 64 terms, the missing ones zero. workspace has
    SUMS_BYTES for each chunk and, when `staged`, two tiles of rows of blocks * 64 bytes. Threads share pairs of tiles.
    """

    x_dtype: DType
    requantization: Requantization
    staged: bool = True

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
        return ("m", "n", "k", "blocks", "wide", "narrow", *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        tiles, lanes = self.tiles(e), e.isa.lanes
        requantizer = self.requantization.prepare_best(e, p, n)
        length = n["blocks"] * TILE_BYTES
        part = n["chunk"] * (length * (ROW_TILES * TILE_ROWS * self.staged) + SUMS_BYTES)
        sums_at = (p["workspace"] + part).cast(DType.I32)
        copies = p["workspace"] + part + SUMS_BYTES
        tiles.configure(p["tiles"])

        def start(tile: Number) -> Number:
            return e.smaller(tile * TILE_ROWS, n["m"] - TILE_ROWS)

        def panel(rows: list[Number], x: list[Pointer], column: Index, vectors: int) -> None:
            weight = p["weight"] + column * length
            grid = [(r, v) for r in range(ROW_TILES) for v in range(vectors)]
            for r, v in grid:
                tiles.zero(r * VECTORS + v)
            with e.loop(0, n["blocks"], unroll=1) as block:
                for v in range(vectors):
                    at = weight + (block.index * (vectors * TILE_ROWS) + v) * TILE_BYTES
                    tiles.load(6 + v, at, vectors * TILE_BYTES)
                for r in range(ROW_TILES):
                    tiles.load(4 + r, x[r] + block.index * TILE_BYTES, length)
                    for v in range(vectors):
                        tiles.dot(r * VECTORS + v, 4 + r, 6 + v, self.x_dtype)
            places = places_of(e, column, vectors, n["n"], 0)
            offsets = [e.load(p["offset"] + place, lanes) for place in places]
            size = TILE_ROWS * lanes
            for r, v in grid:
                tiles.store(r * VECTORS + v, sums_at + (r * VECTORS + v) * size, TILE_BYTES)
            for r in range(ROW_TILES):
                with e.loop(0, TILE_ROWS, _STORED, unroll=1) as line:
                    found = [
                        e.load(sums_at + (r * VECTORS + v) * size + (line.index + i) * lanes, lanes) + offsets[v]
                        for i in range(_STORED)
                        for v in range(vectors)
                    ]
                    result = p["result"] + (line.index + rows[r]) * n["n"]
                    finish_tile(e, found, places, requantizer, p["scale"], result, n["n"], 0)

        first, last = share(e, (n["m"] + (ROW_TILES * TILE_ROWS - 1)) // (ROW_TILES * TILE_ROWS), n)
        with e.loop(first, last) as loop:
            rows = [start(loop.index * ROW_TILES + r) for r in range(ROW_TILES)]
            x = [p["x"] + row * n["k"] for row in rows]
            if self.staged:
                staged = [copies + length * (TILE_ROWS * r) for r in range(ROW_TILES)]
                for source, copy in zip(x, staged, strict=True):
                    stage(e, source, copy, TILE_ROWS, n["k"], n["blocks"], amx_dots(self.x_dtype))
                x = staged
            each_panel(e, VECTORS, n["wide"], 0, n["wide"] + n["narrow"], lambda *at: panel(rows, x, *at))
        tiles.release()


def amx_dots(x: DType) -> Dots:
    """How rows of bytes lie for tiles: in groups as long as a tile is wide, signed or not."""
    return Dots(TILE_BYTES, x, DType.I8)
