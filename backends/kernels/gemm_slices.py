"""Float32 matrix product by tile registers for bytes (AMX), about as accurate as multiply-adds of float32.

A row of x, divided by its largest number, is cut into three slices of signed bytes, which together hold its 24 bits; so
is a column of weights. Sums of products of bytes are exact, and of the nine products of slices the six largest count
(the Ozaki scheme on integers; Ootomo, Ozaki, Yokota: DGEMM on Integer Matrix Multiplication Unit, 2024). What is left
out and cut off is, for each product, at most about 2 ** -22 of the largest x in the row times the largest weight in the
column, which for most sums is what float32 rounds off. A row with a number that is not finite has no finite result.

A tile multiplies bytes thirty times as fast as float32 vectors multiply floats, so that six products are a fifth of the
work of one. Two tiles of rows of x, cut and staged in the workspace, meet a tile of columns. Their sums, of products of
three magnitudes, go through memory to be joined. The last tile of rows and the last tile of columns overlap the one
before, as in the product of float32 vectors (gemm.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.emitter import Condition, Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, AmxTiles, Tiles
from nascompiler.ir.types import Array, DType

SLICES = 3
"""Bytes that a float32 number is cut into."""

LANES = 16
"""Columns of a tile of sums, and terms of a vector of float32."""

BLOCK = TILE_BYTES
"""Terms of a sum that a tile holds: four vectors of them."""

ROW_TILES = 2
"""Tiles of rows that meet a panel of columns."""

_LARGEST = 127.0
"""What the largest number of a row or a column is in units of the first slice."""

_STEP = 256.0
"""How much more a unit of a slice is worth than one of the next."""

_UNIT = _STEP ** (SLICES - 1)
"""Units of the last slice in one of the first."""

_MOVE = 128 * (_UNIT + _STEP + 1)
"""Added to a number it makes each of its signed digits an unsigned one."""

_TOGETHER = 4
"""Rows that are staged together, so that none waits for its scale alone."""

_LEAST = 2.0**-100
"""A row whose numbers are all smaller counts as zero."""

TILE = TILE_ROWS * TILE_BYTES
"""Bytes of a tile."""

SLOT = ROW_TILES * SLICES * TILE
"""Bytes that a block of terms of a pair of tiles takes in the workspace."""

_SUMS = ROW_TILES * SLICES * TILE
"""Bytes that the sums of a pair of tiles take."""

_SCALES = ROW_TILES * TILE_ROWS * DType.F32.bytes
"""Bytes that the scales of the rows of a pair of tiles take."""

_UNDER_WAY = 3
"""Pairs of tiles with scales in use: one is finished while the next is multiplied and the one after that staged."""

_X, _WEIGHT = 6, 7
"""Tile registers; those before hold the sums, SLICES magnitudes for each tile of rows."""

_PRODUCTS = (
    (0, ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 0))),
    (1, ((1, 0), (1, 1), (0, 1), (0, 0))),
    (2, ((1, 0), (0, 0))),
)
"""For each slice of weights the (tile of rows, slice of x) that it meets; sums return only after three others."""


@dataclass(frozen=True)
class GemmSlices(Kernel):
    """result [m, n] = activation(x [m, k] * gate [k] @ weight [k, n] + bias [n] + residual [m, n]), k and n >= 16.

    `weight` and `scale` are what `pack_slices` makes of `blocks` times 64 terms. A tile has `tile_rows` rows, 16 or m
    at most, for which `tiles` is the configuration. With a `gate` [images, k] there are `images` times m rows. All rows
    are staged before they are multiplied with `panels_outside`, which suits weights that exceed the cache. Threads
    share products of a pair of tiles and a panel of columns, `grain` at a time; a pair that two threads share is staged
    by both. With `rows_shared` they share pairs instead, and each reads all weights. Of the workspace each chunk takes
    `workspace_bytes`.
    """

    activation: Activation = NONE
    residual: bool = False
    gate: bool = False
    panels_outside: bool = False
    rows_shared: bool = False

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

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        panels = (n["n"] + (LANES - 1)) // LANES
        image_pairs = (n["m"] + (n["tile_rows"] * ROW_TILES - 1)) // (n["tile_rows"] * ROW_TILES)
        pairs = image_pairs * n["images"] if self.gate else image_pairs
        first, own = e.index(0), pairs
        if self.rows_shared:
            first, last = share(e, pairs, n)
            own = last - first
        kept, slots = (pairs, pairs) if self.panels_outside else (e.index(2), e.index(1))
        memory = p["workspace"] + n["chunk"] * (slots * n["blocks"] * SLOT + kept * _SCALES + _SUMS)
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
                work.result(*item(stop - 1), tiles.index).finish(e.index(0), n["tile_rows"])
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
        return (self.memory + _SUMS).cast(DType.F32) + place

    def staged(self, pair: Index, tile: Number) -> Pointer:
        """Where a tile of rows is staged: [blocks, ROW_TILES, SLICES, 16 rows, 64]."""
        start = self.memory + (self.kept * _SCALES + _SUMS) + tile * (SLICES * TILE)
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
                loop.values = [following, _UNIT / following]
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
        long = (n["k"] + 2 * LANES - 1) // BLOCK  # blocks with more than two vectors
        for first, last, vectors in ((0, long, 4), (long, n["blocks"], 2)):
            with e.loop(first, last, unroll=1) as block:
                target = staged + block.index * SLOT
                places = [e.smaller(block.index * BLOCK + i * LANES, n["k"] - LANES) for i in range(vectors)]
                for line, factor in zip(lines, factors, strict=True):
                    terms = [self.terms(pair, line + row, place) for place in places]
                    _store_slices(e, terms, factor, target + line * TILE_BYTES)

    def measure(self, pair: Index, rows: Sequence[Index]) -> Vector:
        """The largest numbers of _TOGETHER rows, in units of the first slice, in a lane for each row."""
        e, n = self.e, self.n
        with e.loop(0, n["k"], LANES, [e.constant(0, LANES, DType.I32)] * len(rows), unroll=2) as loop:
            place = e.smaller(loop.index, n["k"] - LANES)
            sizes = [e.bits(self.terms(pair, row, place), DType.I32) & 0x7FFFFFFF for row in rows]  # NaN is largest
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
        return e.at_least(e.bits(most, DType.F32), _LEAST) * (1 / _LARGEST)

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
        e, n, registers = self.e, self.n, self.registers
        weight = self.p["weight"] + panel * n["blocks"] * (SLICES * TILE)
        next_weight = self.p["weight"] + following * n["blocks"] * (SLICES * TILE)
        rows = (n["tile_rows"] + n["blocks"] - 1) // n["blocks"]
        results = [self.result(*before, tile) for tile in range(ROW_TILES)]
        for tile in range(ROW_TILES * SLICES):
            registers.zero(tile)
        with e.loop(0, n["blocks"], unroll=1) as block:
            first = e.smaller(block.index * rows, n["tile_rows"])
            last = e.smaller(first + rows, n["tile_rows"])
            x, columns = self.staged(pair, 0) + block.index * SLOT, weight + block.index * (SLICES * TILE)
            with e.when(is_first):
                for line in range(0, SLICES * TILE, TILE_BYTES):
                    e.prefetch(next_weight + block.index * (SLICES * TILE) + line, level=2)
            held = None
            for weights, met in _PRODUCTS:
                registers.load(_WEIGHT, columns + weights * TILE, TILE_BYTES)
                for tile, slice in met:
                    if held != (tile, slice):
                        registers.load(_X, x + (tile * SLICES + slice) * TILE, TILE_BYTES)
                        held = tile, slice
                    registers.dot(tile * SLICES + slice + weights, _X, _WEIGHT, DType.I8)
                if weights < ROW_TILES:
                    with e.when(has_before):
                        results[weights].finish(first, last)
        for tile in range(ROW_TILES * SLICES):
            registers.store(tile, self.sums + tile * (TILE // 4), TILE_BYTES)

    def result(self, pair: Index, panel: Index, tile: Number) -> _Result:
        """What is left to do for a tile of rows and a panel whose products are in `sums`."""
        e, n, p = self.e, self.n, self.p
        column = e.smaller(panel * LANES, n["n"] - LANES)
        place = self.row(pair, tile) * n["n"] + column
        return _Result(
            self.kernel,
            e,
            self.sums + tile * (SLICES * TILE // 4),
            self.scales(pair, tile),
            e.load(p["scale"] + column, LANES),
            e.load(p["bias"] + column, LANES),
            p["residual"] + place if self.kernel.residual else None,
            p["result"] + place,
            n["n"],
        )


@dataclass(frozen=True)
class _Result:
    """A tile of results, [rows, 16], whose rows lie `stride` apart, and what it is made of."""

    kernel: GemmSlices
    e: Emitter
    sums: Pointer
    scales: Pointer
    scale: Vector
    bias: Vector
    residual: Pointer | None
    result: Pointer
    stride: Index

    def finish(self, first: Number, last: Number) -> None:
        """Store some of the rows."""
        e = self.e
        steps = [e.constant(_STEP**-i, LANES) for i in range(SLICES)]
        with e.loop(first, last, unroll=1) as line:
            at = self.sums + line.index * LANES
            sums = [e.convert(e.load(at + i * (TILE // 4), LANES), DType.F32) for i in range(SLICES)]
            total = e.multiply_add(sums[1], steps[1], e.multiply_add(sums[2], steps[2], sums[0]))
            value = e.multiply_add(total * e.broadcast(self.scales + line.index, LANES), self.scale, self.bias)
            place = line.index * self.stride
            if self.residual is not None:
                value = value + e.load(self.residual + place, LANES)
            e.store(activate(e, value, self.kernel.activation), self.result + place)


def _store_slices(e: Emitter, terms: Sequence[Vector], factor: Vector, target: Pointer) -> None:
    """Store two or four vectors of terms, times a factor, as SLICES slices of a row of a tile: [SLICES, 16 rows, 64].

    A lane takes terms 16 apart. With two vectors the rest of the row is what it may, to meet weights of zero.
    """
    # Digits to the base 256 from -128 on: bytes of a number moved by 128 in each of them, less 128 again.
    moved = [e.bits(e.round_to_integer(e.multiply_add(t, factor, e.constant(_MOVE, LANES))), DType.U32) for t in terms]
    even, low = (e.constant(mask, LANES, DType.U32) for mask in (0x00FF00FF, 0x0000FFFF))
    ends, middles = [], []  # bytes 0 and 2 of two neighbours, and byte 1
    for a, b in zip(moved[::2], moved[1::2], strict=True):
        ends.append(e.choose_bits(even, a, b << 8))
        middles.append(e.choose_bits(even, a >> 8, b))
    if len(ends) == 2:
        slices = [
            e.choose_bits(low, ends[0] >> 16, ends[1]),
            e.choose_bits(low, middles[0], middles[1] << 16),
            e.choose_bits(low, ends[0], ends[1] << 16),
        ]
    else:
        slices = [ends[0] >> 16, middles[0], ends[0]]
    for number, value in enumerate(slices):
        e.store(e.bits(value ^ 0x80808080, DType.I32), target.cast(DType.I32) + number * (TILE // 4))


def pack_slices(weight: Array) -> dict[str, Array]:
    """Weights [K, N] as `weight`, for each panel of 16 columns [blocks, SLICES, 16, 16 columns, 4], and `scale` [N]."""
    k, n = weight.shape
    largest = np.abs(weight).max(axis=0).astype(np.float64)
    scale = np.where(largest > 0, largest, 1) / _LARGEST
    rest = weight.astype(np.float64) / scale
    moved = (np.rint(rest * _UNIT) + _MOVE).astype(np.int32)
    slices = [((moved >> 8 * i & 0xFF) - 128).astype(np.int8) for i in reversed(range(SLICES))]
    first = np.arange(4 * blocks_of(k))[:, None] * LANES
    terms = np.minimum(first, k - LANES) + np.arange(LANES)  # as `stage` reads x
    parts = np.where((terms >= first)[..., None], np.stack(slices)[:, terms], np.int8(0))  # [SLICES, vectors, 16, N]
    parts = parts.reshape(SLICES, -1, 4, LANES, n).transpose(1, 0, 3, 4, 2)  # [blocks, SLICES, 16, N, 4]
    quads = np.ascontiguousarray(parts).view(np.int32).reshape(-1, n)
    panels = Panels.of(n, LANES, 1)
    assert panels is not None
    return {"weight": panels.pack(quads).view(np.int8), "scale": scale.astype(np.float32)}


def workspace_bytes(rows: int, images: int, k: int, tile_rows: int, panels_outside: bool) -> int:
    """What a chunk needs of the workspace."""
    pairs = -(-rows // (tile_rows * ROW_TILES)) * images
    kept, slots = (pairs, pairs) if panels_outside else (2, 1)
    return _SUMS + kept * _SCALES + slots * blocks_of(k) * SLOT


def blocks_of(k: int) -> int:
    """Tiles that sums of k terms take."""
    return -(-k // BLOCK)
