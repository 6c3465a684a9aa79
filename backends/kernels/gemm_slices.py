"""Float32 matrix product in slices of bytes (slices.py), about as accurate as multiply-adds of float32.

Each row of x has a scale of its own. Two tiles of rows, cut and staged in the workspace, meet panels of columns. The
last tile of rows and the last tile of columns overlap the one before, as in the product of float32 vectors (gemm.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation
from nascompiler.backends.kernels.emitter import Condition, Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, Rows, Sizes, share
from nascompiler.backends.kernels.slices import (
    BLOCK,
    LANES,
    ROW_TILES,
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

SLOT = ROW_TILES * SLICES * TILE
"""Bytes that a block of terms of a pair of tiles takes in the workspace."""

_SCALES = ROW_TILES * TILE_ROWS * DType.F32.bytes
"""Bytes that the scales of the rows of a pair of tiles take."""

_TOGETHER = 4
"""Rows that are staged together, so that none waits for its scale alone."""


@dataclass(frozen=True)
class GemmSlices(Kernel):
    """result [m, n] = activation(x [m, k] * gate [k] @ weight [k, n] + bias [n] + residual [m, n]), k and n >= 16.

    `weight` and `scale` are what `pack_slices` makes of `blocks` times 64 terms. A tile has `tile_rows` rows, 16 or m
    at most, for which `tiles` is the configuration. With a `gate` [images, k] there are `images` times m rows. All rows
    are staged before they are multiplied with `panels_outside`, which suits weights that exceed the cache. Threads
    share products of a pair of tiles and a panel of columns, `grain` at a time; a pair that two threads share is staged
    by both. With `rows_shared` they share pairs instead, and each reads all weights. Of the workspace each chunk takes
    `workspace_bytes`. Weights that are `streamed` leave the first-level cache to the rows, which suits longer sums.
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
        image_pairs = (n["m"] + (n["tile_rows"] * ROW_TILES - 1)) // (n["tile_rows"] * ROW_TILES)
        pairs = image_pairs * n["images"] if self.gate else image_pairs
        first, own = e.index(0), pairs
        if self.rows_shared:
            first, last = share(e, pairs, n)
            own = last - first
        kept, slots = (pairs, pairs) if self.panels_outside else (e.index(2), e.index(1))
        memory = p["workspace"] + n["chunk"] * (slots * n["blocks"] * SLOT + kept * _SCALES + SUMS)
        work = _Work(self, e, p, n, self.tiles(e), image_pairs, kept, memory)

        inner = own if self.panels_outside else panels
        items = own * panels
        start, stop = e.index(0), items
        if not self.rows_shared:
            grains = (items + n["grain"] - 1) // n["grain"]
            start, stop = (e.index(e.smaller(part * n["grain"], items)) for part in share(e, grains, n))

        def item(number: Number) -> tuple[Index, Index]:
            """The pair of tiles of rows and the panel that an item of work multiplies."""
            outer, rest = e.index(number) // inner, e.index(number) % inner
            return (first + rest, outer) if self.panels_outside else (first + outer, rest)

        with e.when(start < stop):
            work.registers.configure(p["tiles"])
            with e.loop(start, stop) as loop:
                pair, panel = item(loop.index)
                unstaged = loop.index < start + own if self.panels_outside else panel.equals(0)
                with e.when(e.either(unstaged, loop.index.equals(start))):
                    work.stage(pair)
                if self.panels_outside:
                    is_new = e.either(pair.equals(first), loop.index.equals(start))
                else:
                    is_new = loop.index < start + panels
                is_first = e.both(is_new, own > 1)
                before = item(e.larger(loop.index - 1, start))
                following = e.choose(panel < panels - 1, panel + 1, 0)
                work.multiply(pair, panel, is_first, following, before, loop.index > start)
            with e.loop(0, ROW_TILES) as tiles:
                work.result(*item(stop - 1), tiles.index).finish_all()
            work.registers.release()


@dataclass(frozen=True)
class _Work:
    """The steps of a kernel's body, and what they share."""

    kernel: GemmSlices
    e: Emitter
    p: Mapping[str, Pointer]
    n: Mapping[str, Index]
    registers: Tiles
    image_pairs: Index
    kept: Index
    memory: Pointer

    @property
    def sums(self) -> Pointer:
        return self.memory.cast(DType.I32)

    @property
    def short(self) -> Condition:
        """Whether the first block of terms is short."""
        return self.n["blocks"] * BLOCK - self.n["k"] >= BLOCK - SHORT

    def row(self, pair: Index, tile: Number) -> Number:
        """The first row of a tile; the last tiles of an image end with it."""
        e, n = self.e, self.n
        first, number = e.index(0), pair
        if self.kernel.gate:
            first, number = pair // self.image_pairs * n["m"], pair % self.image_pairs
        return first + e.smaller((number * ROW_TILES + tile) * n["tile_rows"], n["m"] - n["tile_rows"])

    def scales(self, pair: Index, tile: Number) -> Pointer:
        """Where the scales of the rows of a tile are kept."""
        place = (pair % self.kept * ROW_TILES + tile) * TILE_ROWS
        return (self.memory + SUMS).cast(DType.F32) + place

    def staged(self, pair: Index, tile: Number) -> Pointer:
        """Where a tile of rows is staged: [blocks, ROW_TILES, SLICES, 16 rows, 64]."""
        start = self.memory + (self.kept * _SCALES + SUMS) + tile * (SLICES * TILE)
        return start + pair * self.n["blocks"] * SLOT if self.kernel.panels_outside else start

    def terms(self, pair: Index, row: Index, place: Number) -> Vector:
        """A vector of terms of a row, times its gate."""
        e, p, k = self.e, self.p, self.n["k"]
        value = e.load(p["x"] + row * k + place, LANES)
        if self.kernel.gate:
            value = value * e.load(p["gate"] + pair // self.image_pairs * k + place, LANES)
        return value

    def stage(self, pair: Index) -> None:
        """Stage the rows of a pair of tiles, some at a time, and keep their scales.

        The scales of the next rows are found beside the slices of these, which need not wait for theirs.
        """
        e, n = self.e, self.n
        nothing = [e.constant(0, LANES)] * 2
        with e.loop(0, ROW_TILES, unroll=1) as tiles:
            row = self.row(pair, tiles.index)

            def lines(start: Index) -> list[Index]:
                return [e.index(e.smaller(start + i, n["tile_rows"] - 1)) for i in range(_TOGETHER)]

            with e.loop(-_TOGETHER, n["tile_rows"], _TOGETHER, nothing, unroll=1) as loop:
                scale, inverse = loop.values
                following = self.measure(pair, [line + row for line in lines(loop.index + _TOGETHER)])
                loop.values = [following, UNIT / following]
                with e.when(loop.index >= 0):
                    self.stage_rows(pair, tiles.index, row, lines(loop.index), scale, inverse)

    def stage_rows(
        self, pair: Index, tile: Index, row: Number, lines: Sequence[Index], scale: Vector, inverse: Vector
    ) -> None:
        """Stage some lines of a tile that begins with a row; scales and inverses have a lane for each."""
        e, n = self.e, self.n
        scales, staged = self.scales(pair, tile), self.staged(pair, tile)
        factors = [e.shuffle(inverse, inverse, [i] * LANES) for i in range(len(lines))]
        for i, line in enumerate(lines):
            e.store(e.part(scale, i, 1), scales + line)

        def stage_block(block: Index, places: Sequence[Number], store: Callable[..., None], slices: int) -> None:
            target = staged + block * SLOT
            for line, factor in zip(lines, factors, strict=True):
                terms = [self.terms(pair, line + row, place) for place in places]
                store(e, terms, factor, [target + line * TILE_BYTES + i * TILE for i in range(slices)])

        first = e.choose(self.short, 1, 0)
        missing = e.choose(self.short, n["blocks"] * BLOCK - n["k"], 0)
        with e.when(self.short):
            stage_block(e.index(0), (0, LANES), store_short, SLICES - 1)
        with e.loop(first, n["blocks"], unroll=1) as block:
            places = [e.smaller(block.index * BLOCK + i * LANES - missing, n["k"] - LANES) for i in range(4)]
            stage_block(block.index, places, store_slices, SLICES)

    def measure(self, pair: Index, rows: Sequence[Index]) -> Vector:
        """The largest numbers of _TOGETHER rows, in units of the first slice, in a lane for each row."""
        e, n = self.e, self.n
        with e.loop(0, n["k"], LANES, [e.constant(0, LANES, DType.I32)] * len(rows), unroll=2) as loop:
            place = e.smaller(loop.index, n["k"] - LANES)
            sizes = [sizes_of(e, self.terms(pair, row, place)) for row in rows]
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
        pair: Index,
        panel: Index,
        is_first: Condition,
        following: Index,
        before: tuple[Index, Index],
        has_before: Condition,
    ) -> None:
        """Leave in `sums` the products of a pair of tiles of rows and a panel; finish the item `before` meanwhile.

        Where a panel `is_first` met, the weights of the `following` one are asked for: they come from afar.
        """
        e, n = self.e, self.n
        weight = self.p["weight"] + panel * n["blocks"] * (SLICES * TILE)
        next_weight = self.p["weight"] + following * n["blocks"] * (SLICES * TILE)
        with e.loop(0, ROW_TILES, unroll=1) as tile:
            result = self.result(*before, tile.index)
            staged = self.staged(pair, tile.index)
            asks = e.both(is_first, tile.index.equals(0))

            def source(block: Index, staged: Pointer = staged) -> Sequence[Pointer]:
                return [staged + block * SLOT + i * TILE for i in range(SLICES)]

            def meanwhile(block: Index, result: Result = result, asks: Condition = asks) -> None:
                with e.when(has_before):
                    result.finish_beside(block)
                with e.when(asks), e.loop(0, SLICES * TILE, TILE_BYTES, unroll=8) as line:
                    e.prefetch(next_weight + block * (SLICES * TILE) + line.index, level=2)

            products = Products(
                e, self.registers, source, TILE_BYTES, weight, n["blocks"], meanwhile, self.kernel.streamed, self.short
            )
            products.sum(self.sums + tile.index * (SLICES * TILE // 4))

    def result(self, pair: Index, panel: Index, tile: Number) -> Result:
        """What is left to do for a tile of rows and a panel whose products are in `sums`."""
        sums = self.sums + tile * (SLICES * TILE // 4)
        row, scales = self.row(pair, tile), self.scales(pair, tile)
        return Result.of(self.e, self.kernel.activation, self.p, self.n, sums, scales, row, panel, self.n["blocks"])


def workspace_bytes(rows: int, images: int, k: int, tile_rows: int, panels_outside: bool) -> int:
    """What a chunk needs of the workspace."""
    pairs = -(-rows // (tile_rows * ROW_TILES)) * images
    kept, slots = (pairs, pairs) if panels_outside else (2, 1)
    return SUMS + kept * _SCALES + slots * blocks_of(k) * SLOT
