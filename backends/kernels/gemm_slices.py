"""Float32 matrix product in slices of bytes (slices.py), about as accurate as multiply-adds of float32.

Each row of x has a scale of its own. A tile of rows, cut and staged in the workspace, meets panels of columns: of up to
512 terms it stays in the first-level cache. The last tile of rows and the last tile of columns overlap the one before,
as in the product of float32 vectors (gemm.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from nascompiler.backends.kernels.activation import NONE, Activation
from nascompiler.backends.kernels.emitter import Condition, Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, Rows, Sizes, share
from nascompiler.backends.kernels.slices import (
    BLOCK,
    LANES,
    SHORT,
    SLICES,
    SUMS,
    TILE,
    UNIT,
    Products,
    Result,
    blocks_of,
    scale_of,
    sizes_of,
    store_short,
    store_slices,
)
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, AmxTiles, Tiles
from nascompiler.ir.types import DType

SLOT = SLICES * TILE
"""Bytes that a block of terms of a tile of rows takes in the workspace, and one of a panel of weights."""

_SCALES = TILE_ROWS * DType.F32.bytes
"""Bytes that the scales of the rows of a tile take."""

_TOGETHER = 4
"""Rows whose scales are found together, so that none waits for its own alone."""


@dataclass(frozen=True)
class GemmSlices(Kernel):
    """result [m, n] = activation(x [m, k] * gate [k] @ weight [k, n] + bias [n] + residual [m, n]), k and n >= 16.

    `weight` and `scale` are what `pack_slices` makes of `blocks` times 64 terms. A tile has `tile_rows` rows, 16 or m
    at most, for which `tiles` is the configuration. With a `gate` [images, k] there are `images` times m rows. All rows
    are staged before they are multiplied with `panels_outside`, which suits weights that exceed the cache. Threads
    share products of a tile of rows and a panel of columns, `grain` at a time; a tile that two threads share is staged
    by both. With `rows_shared` they share tiles instead, and each reads all weights. Of the workspace each chunk takes
    `workspace_bytes`. When `streamed`, what the inner loop goes over, panels or tiles, leaves the first-level cache to
    what meets all of it: that suits longer sums.
    """

    activation: Activation = NONE
    residual: bool = False
    gate: bool = False
    panels_outside: bool = False
    rows_shared: bool = False
    streamed: bool = False

    name: ClassVar[str] = "gemm_slices"

    def tiles(self, e: Emitter) -> Tiles:
        """The tile registers to use."""
        return AmxTiles(e)

    @property
    def pointers(self) -> Mapping[str, DType]:
        read = {"x": DType.F32, "weight": DType.I8, "scale": DType.F32, "bias": DType.F32, "tiles": DType.U8}
        more = ["residual"] * self.residual + ["gate"] * self.gate
        return {**read, **dict.fromkeys([*more, "result"], DType.F32), "workspace": DType.I8}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("m", "n", "k", "blocks", "tile_rows", "grain", *["images"] * self.gate)

    def some_rows(self, sizes: Sizes, height: int, first: int, last: int) -> Rows | None:
        made = Rows.of_pixels(sizes, first, last, height)
        fits = made.sizes["m"] >= sizes["tile_rows"] and not self.gate and not self.panels_outside
        return made if fits else None

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        panels = (n["n"] + (LANES - 1)) // LANES
        image_tiles = (n["m"] + (n["tile_rows"] - 1)) // n["tile_rows"]
        tiles = image_tiles * n["images"] if self.gate else image_tiles
        first, own = e.index(0), tiles
        if self.rows_shared:
            first, last = share(e, tiles, n)
            own = last - first
        kept, slots = (tiles, tiles) if self.panels_outside else (e.index(2), e.index(1))
        memory = p["workspace"] + n["chunk"] * (slots * n["blocks"] * SLOT + (kept + 1) * _SCALES + SUMS)
        work = _Work(self, e, p, n, self.tiles(e), image_tiles, kept, memory)

        inner = own if self.panels_outside else panels
        items = own * panels
        start, stop = e.index(0), items
        if not self.rows_shared:
            grains = (items + n["grain"] - 1) // n["grain"]
            start, stop = (e.index(e.smaller(part * n["grain"], items)) for part in share(e, grains, n))

        def item(outer: Index, rest: Index) -> tuple[Index, Index]:
            """The tile of rows and the panel that are multiplied in a step of the loops."""
            return (first + rest, outer) if self.panels_outside else (first + outer, rest)

        portion = (e.index(SLOT // TILE_BYTES) + (own - 1)) // own * TILE_BYTES
        with e.when(start < stop):
            work.registers.configure(p["tiles"])
            with e.loop(start // inner, (stop + (inner - 1)) // inner) as outer:
                begin = outer.index * inner
                if not self.panels_outside:
                    work.stage(first + outer.index)
                with e.loop(e.larger(start - begin, 0), e.smaller(stop - begin, inner)) as loop:
                    number = begin + loop.index
                    tile, panel = item(outer.index, loop.index)
                    if self.panels_outside:
                        with e.when(number < start + own):
                            work.stage(tile)
                        asked = (loop.index * portion, (loop.index + 1) * portion)
                    else:
                        is_new = e.both(number < start + panels, own > 1)
                        asked = (e.index(0), e.choose(is_new, SLOT, 0))
                    continues = loop.index > 0
                    before = item(
                        e.choose(continues, outer.index, outer.index - 1),
                        e.choose(continues, loop.index - 1, inner - 1),
                    )
                    following = e.choose(panel < panels - 1, panel + 1, 0)
                    work.multiply(tile, panel, asked, following, before, number > start)
            last = stop - 1
            work.result(*item(last // inner, last % inner)).finish_all()
            work.registers.release()


@dataclass(frozen=True)
class _Work:
    """The steps of a kernel's body, and what they share."""

    kernel: GemmSlices
    e: Emitter
    p: Mapping[str, Pointer]
    n: Mapping[str, Index]
    registers: Tiles
    image_tiles: Index
    kept: Index
    memory: Pointer

    @property
    def sums(self) -> Pointer:
        return self.memory.cast(DType.I32)

    @property
    def short(self) -> Condition:
        """Whether the first block of terms is short."""
        return self.n["blocks"] * BLOCK - self.n["k"] >= BLOCK - SHORT

    def row(self, tile: Index) -> Number:
        """The first row of a tile; the last one of an image ends with it."""
        e, n = self.e, self.n
        first, number = e.index(0), tile
        if self.kernel.gate:
            first, number = tile // self.image_tiles * n["m"], tile % self.image_tiles
        return first + e.smaller(number * n["tile_rows"], n["m"] - n["tile_rows"])

    @property
    def factors(self) -> Pointer:
        """Where it is kept what the rows that are being staged are multiplied with."""
        return (self.memory + SUMS).cast(DType.F32)

    def scales(self, tile: Index) -> Pointer:
        """Where the scales of the rows of a tile are kept."""
        return self.factors + (tile % self.kept + 1) * TILE_ROWS

    def staged(self, tile: Index) -> Pointer:
        """Where a tile of rows is staged: [blocks, SLICES, 16 rows, 64]."""
        start = self.memory + ((self.kept + 1) * _SCALES + SUMS)
        return start + tile * self.n["blocks"] * SLOT if self.kernel.panels_outside else start

    def terms(self, tile: Index, row: Index, place: Number) -> Vector:
        """A vector of terms of a row, times its gate."""
        e, p, k = self.e, self.p, self.n["k"]
        value = e.load(p["x"] + row * k + place, LANES)
        if self.kernel.gate:
            value = value * e.load(p["gate"] + tile // self.image_tiles * k + place, LANES)
        return value

    def stage(self, tile: Index) -> None:
        """Stage a tile of rows, and keep their scales."""
        e, n, row = self.e, self.n, self.e.index(self.row(tile))
        with e.loop(0, n["tile_rows"], _TOGETHER, unroll=1) as group:
            lines = [e.smaller(group.index + i, n["tile_rows"] - 1) for i in range(_TOGETHER)]
            scale = self.measure(tile, [row + line for line in lines])
            for values, kept in ((scale, self.scales(tile)), (UNIT / scale, self.factors)):
                e.store(e.part(values, 0, _TOGETHER), kept + group.index)
        with e.loop(0, n["tile_rows"], unroll=1) as line:
            self.stage_line(tile, line.index, line.index + row)

    def stage_line(self, tile: Index, line: Index, row: Index) -> None:
        """Stage a line of a tile, which is a row of x."""
        e, n = self.e, self.n
        target = self.staged(tile) + line * TILE_BYTES
        factor = e.broadcast(self.factors + line, LANES)

        def stage_block(block: Index, places: Sequence[Number], store: Callable[..., None], slices: int) -> None:
            terms = [self.terms(tile, row, place) for place in places]
            store(e, terms, factor, [target + block * SLOT + i * TILE for i in range(slices)])

        first = e.choose(self.short, 1, 0)
        missing = e.choose(self.short, n["blocks"] * BLOCK - n["k"], 0)
        with e.when(self.short):
            stage_block(e.index(0), (0, LANES), store_short, SLICES - 1)
        with e.loop(first, n["blocks"], unroll=1) as block:
            places = [e.smaller(block.index * BLOCK + i * LANES - missing, n["k"] - LANES) for i in range(4)]
            stage_block(block.index, places, store_slices, SLICES)

    def measure(self, tile: Index, rows: Sequence[Index]) -> Vector:
        """The largest numbers of _TOGETHER rows, in units of the first slice, in a lane for each row."""
        e, n = self.e, self.n
        with e.loop(0, n["k"], LANES, [e.constant(0, LANES, DType.I32)] * len(rows), unroll=2) as loop:
            place = e.smaller(loop.index, n["k"] - LANES)
            sizes = [sizes_of(e, self.terms(tile, row, place)) for row in rows]
            loop.values = [e.at_least(size, most) for size, most in zip(sizes, loop.values, strict=True)]
        joined, width = loop.values, LANES
        while len(joined) > 1:
            width //= 2
            low = [i % width + i // width * 2 * width for i in range(LANES)]
            pairs = zip(joined[::2], joined[1::2], strict=True)
            joined = [e.at_least(e.shuffle(a, b, low), e.shuffle(a, b, [i + width for i in low])) for a, b in pairs]
        (most,) = joined
        while width > 1:
            width //= 2
            most = e.at_least(most, e.shuffle(most, most, [i ^ width for i in range(LANES)]))
        most = e.shuffle(most, most, [i % len(rows) * (LANES // len(rows)) for i in range(LANES)])
        return scale_of(e, most)

    def multiply(
        self,
        tile: Index,
        panel: Index,
        asked: tuple[Index, Index],
        following: Index,
        before: tuple[Index, Index],
        has_before: Condition,
    ) -> None:
        """Leave in `sums` the products of a tile of rows and a panel; finish the item `before` meanwhile.

        The weights of the `following` panel come from afar: of each of its blocks the bytes that are `asked` for, from
        the first to the last + 1, are fetched beside the same block of this one.
        """
        e, n = self.e, self.n
        weight = self.p["weight"] + panel * n["blocks"] * SLOT
        next_weight = self.p["weight"] + following * n["blocks"] * SLOT
        result, staged = self.result(*before), self.staged(tile)

        def source(block: Index) -> Sequence[Pointer]:
            return [staged + block * SLOT + i * TILE for i in range(SLICES)]

        def meanwhile(block: Index) -> None:
            with e.when(has_before):
                result.finish_beside(block)
            with e.loop(asked[0], e.smaller(asked[1], SLOT), TILE_BYTES, unroll=4) as line:
                e.prefetch(next_weight + block * SLOT + line.index, level=2)

        inner: Literal["x", "weight"] = "x" if self.kernel.panels_outside else "weight"
        streamed = inner if self.kernel.streamed else None
        products = Products(e, self.registers, source, TILE_BYTES, weight, n["blocks"], meanwhile, streamed, self.short)
        products.sum(self.sums)

    def result(self, tile: Index, panel: Index) -> Result:
        """What is left to do for a tile of rows and a panel whose products are in `sums`."""
        e, n, activation = self.e, self.n, self.kernel.activation
        return Result.of(e, activation, self.p, n, self.sums, self.scales(tile), self.row(tile), panel, n["blocks"])


def workspace_bytes(rows: int, images: int, k: int, tile_rows: int, panels_outside: bool) -> int:
    """What a chunk needs of the workspace."""
    tiles = -(-rows // tile_rows) * images
    kept, slots = (tiles, tiles) if panels_outside else (2, 1)
    return SUMS + (kept + 1) * _SCALES + slots * blocks_of(k) * SLOT
