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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
"""What the largest number of a row or a column becomes."""

_STEP = 254.0
"""How much more a unit of a slice is worth than one of the next."""

_ROUND = 1.5 * 2.0**23
"""Added to a small float it rounds it to the nearest integer, which is in the low bits."""

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

    `weight` and `scale` are what `pack_slices` makes of `blocks` times 64 terms. A tile has `tile_rows` rows, at most 16
    and m; `tiles` is the configuration for it. With a `gate` [images, k] there are `images` times m rows. All rows are
    staged before they are multiplied with `panels_outside`, which suits weights that exceed the cache. Threads share
    panels of columns then, otherwise pairs of tiles. Of the workspace each chunk takes `workspace_bytes`.
    """

    activation: Activation = NONE
    residual: bool = False
    gate: bool = False
    panels_outside: bool = False

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
        return ("m", "n", "k", "blocks", "tile_rows", *["images"] * self.gate)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        panels = (n["n"] + (LANES - 1)) // LANES
        image_pairs = (n["m"] + (n["tile_rows"] * ROW_TILES - 1)) // (n["tile_rows"] * ROW_TILES)
        pairs = image_pairs * n["images"] if self.gate else image_pairs
        kept, slots = (pairs, pairs * n["blocks"]) if self.panels_outside else (e.index(_UNDER_WAY), n["blocks"] + 1)
        memory = p["workspace"] + n["chunk"] * (slots * SLOT + kept * _SCALES + _SUMS)
        work = _Work(self, e, p, n, self.tiles(e), image_pairs, kept, memory)

        first, last = share(e, panels if self.panels_outside else pairs, n)
        inner = pairs if self.panels_outside else panels
        start, stop = first * inner, last * inner

        def item(number: Number) -> tuple[Index, Index]:
            """The pair of tiles of rows and the panel that an item of work multiplies."""
            outer, rest = e.index(number) // inner, e.index(number) % inner
            return (rest, outer) if self.panels_outside else (outer, rest)

        with e.when(start < stop):
            work.registers.configure(p["tiles"])
            pair, _ = item(start)
            work.measure(pair)
            with e.loop(0, n["blocks"]) as block:
                for tile in range(ROW_TILES):
                    work.stage(pair, block.index, tile, 0, n["tile_rows"])
            with e.loop(start, stop) as loop:
                pair, panel = item(loop.index)
                stages = panel.equals(first if self.panels_outside else panels - 1)
                following = e.index(e.smaller(pair + 1, pairs - 1))
                with e.when(stages):
                    work.measure(following)
                before = item(e.larger(loop.index - 1, start))
                work.multiply(pair, panel, following, stages, before, loop.index > start)
            for tile in range(ROW_TILES):
                work.finish(*item(stop - 1), tile, 0, n["tile_rows"])
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

    def row(self, pair: Index, tile: int) -> Number:
        """The first row of a tile; the last tiles of an image end with it."""
        n = self.n
        image, number = pair // self.image_pairs, pair % self.image_pairs
        within = self.e.smaller((number * ROW_TILES + tile) * n["tile_rows"], n["m"] - n["tile_rows"])
        return image * n["m"] + within

    def scales(self, pair: Index, tile: int) -> Pointer:
        """Where the scales of the rows of a tile are kept."""
        place = (pair % self.kept * ROW_TILES + tile) * TILE_ROWS
        return (self.memory + _SUMS).cast(DType.F32) + place

    def staged(self, pair: Index, block: Number, tile: int) -> Pointer:
        """Where a block of terms of a tile of rows is staged.

        With rows outside there is one slot more than a pair needs, and pairs follow each other in a ring: the slot of a
        block is free when the next block of the pair is multiplied, and takes the next block of the following pair.
        """
        e, blocks = self.e, self.n["blocks"]
        if self.kernel.panels_outside:
            slot = pair * blocks + block
        else:
            slots = blocks + 1
            slot = (slots - pair % slots) + block  # since `blocks` is -1 modulo the slots
            slot = e.choose(slot < slots, slot, slot - slots)
        return self.memory + (self.kept * _SCALES + _SUMS) + slot * SLOT + tile * (SLICES * TILE)

    def terms(self, pair: Index, row: Index, place: Number) -> Vector:
        """A vector of terms of a row, times its gate."""
        e, p, k = self.e, self.p, self.n["k"]
        value = e.load(p["x"] + row * k + place, LANES)
        if self.kernel.gate:
            value = value * e.load(p["gate"] + pair // self.image_pairs * k + place, LANES)
        return value

    def measure(self, pair: Index) -> None:
        """Keep the scale of each row of a pair: its largest number divided by _LARGEST."""
        e, n = self.e, self.n
        for tile in range(ROW_TILES):
            row, scales = self.row(pair, tile), self.scales(pair, tile)
            with e.loop(0, n["tile_rows"], unroll=1) as line:
                bits = [e.constant(0, LANES, DType.I32)]
                with e.loop(0, n["k"], LANES, bits, unroll=2) as loop:
                    place = e.smaller(loop.index, n["k"] - LANES)
                    value = self.terms(pair, line.index + row, place)
                    size = e.bits(value, DType.I32) & 0x7FFFFFFF  # in the order of the numbers, NaN last
                    loop.values = [e.at_least(size, loop.values[0])]
                largest = loop.values[0]
                for step in (8, 4, 2, 1):
                    largest = e.at_least(largest, e.shuffle(largest, largest, [(i ^ step) for i in range(LANES)]))
                value = e.bits(e.part(largest, 0, 1), DType.F32)
                e.store(e.at_least(value, _LEAST) * (1 / _LARGEST), scales + line.index)

    def stage(self, pair: Index, block: Index, tile: int, first: Number, last: Number) -> None:
        """Stage a block of terms of some rows of a tile: [SLICES, 16 rows, 64]; a lane has terms 16 apart.

        Vectors that would end behind a row move back: what they repeat meets weights of zero. So does what is left of a
        block of one vector or two.
        """
        e, n = self.e, self.n
        row, scales, target = self.row(pair, tile), self.scales(pair, tile), self.staged(pair, block, tile)
        start = block * BLOCK

        def lines(vectors: int) -> None:
            places = [e.smaller(start + i * LANES, n["k"] - LANES) for i in range(vectors)]
            with e.loop(first, last, unroll=1) as line:
                inverse = 1 / e.broadcast(scales + line.index, LANES)
                values = [self.terms(pair, line.index + row, place) * inverse for place in places]
                at = (target + line.index * TILE_BYTES).cast(DType.I32)
                shifted = e.constant(_ROUND, LANES)
                for number in range(SLICES):
                    rounded = [v + shifted for v in values] if number == 0 else [
                        e.multiply_add(v, e.constant(_STEP, LANES), shifted) for v in values
                    ]
                    e.store(_low_bytes(e, rounded), at + number * (TILE // 4))
                    whole = [r - shifted for r in rounded]
                    values = [v - w for v, w in zip(values, whole, strict=True)] if number == 0 else [
                        e.multiply_add(v, e.constant(_STEP, LANES), 0 - w) for v, w in zip(values, whole, strict=True)
                    ]

        is_short = start + 2 * LANES >= n["k"]
        with e.when(is_short):
            lines(2)
        with e.when(e.neither(is_short)):
            lines(4)

    def multiply(
        self,
        pair: Index,
        panel: Index,
        following: Index,
        stages: Condition,
        before: tuple[Index, Index],
        has_before: Condition,
    ) -> None:
        """Leave in `sums` the products of a pair of tiles of rows and a panel.

        Tiles are multiplied beside the other instructions. So while they are, the item `before` is finished, and with
        one of its panels a pair's `following` one is staged.
        """
        e, n, registers = self.e, self.n, self.registers
        weight = self.p["weight"] + panel * n["blocks"] * (SLICES * TILE)
        rows = (n["tile_rows"] + n["blocks"] - 1) // n["blocks"]
        for tile in range(ROW_TILES * SLICES):
            registers.zero(tile)
        with e.loop(0, n["blocks"], unroll=1) as block:
            done = e.smaller(block.index * rows, n["tile_rows"])
            finish = partial(self.finish, *before, first=done, last=e.smaller(done + rows, n["tile_rows"]))
            half = n["tile_rows"] // 2
            stage = partial(self.stage, following, block.index)
            aside: list[tuple[Condition, Callable[[], None]]] = [
                (has_before, partial(finish, tile=0)),
                *((stages, partial(stage, tile, *part)) for tile in range(ROW_TILES) for part in ((0, half), (half, n["tile_rows"]))),
                (has_before, partial(finish, tile=1)),
            ]
            x, columns = self.staged(pair, block.index, 0), weight + block.index * (SLICES * TILE)
            number, held = 0, None
            for weights, met in _PRODUCTS:
                registers.load(_WEIGHT, columns + weights * TILE, TILE_BYTES)
                for tile, slice in met:
                    if held != (tile, slice):
                        registers.load(_X, x + (tile * SLICES + slice) * TILE, TILE_BYTES)
                        held = tile, slice
                    registers.dot(tile * SLICES + slice + weights, _X, _WEIGHT, DType.I8)
                    number += 1
                    if number % 2 == 0:
                        condition, work = aside[number // 2 - 1]
                        with e.when(condition):
                            work()
        for tile in range(ROW_TILES * SLICES):
            registers.store(tile, self.sums + tile * (TILE // 4), TILE_BYTES)

    def finish(self, pair: Index, panel: Index, tile: int, first: Number, last: Number) -> None:
        """Store the results of some rows of a tile from its sums."""
        e, n, p = self.e, self.n, self.p
        column = e.smaller(panel * LANES, n["n"] - LANES)
        bias, scale = e.load(p["bias"] + column, LANES), e.load(p["scale"] + column, LANES)
        row, scales = self.row(pair, tile), self.scales(pair, tile)
        steps = [e.constant(_STEP**-i, LANES) for i in range(SLICES)]
        with e.loop(first, last, unroll=1) as line:
            at = self.sums + tile * SLICES * (TILE // 4) + line.index * LANES
            sums = [e.convert(e.load(at + i * (TILE // 4), LANES), DType.F32) for i in range(SLICES)]
            total = e.multiply_add(sums[1], steps[1], e.multiply_add(sums[2], steps[2], sums[0]))
            value = e.multiply_add(total * e.broadcast(scales + line.index, LANES), scale, bias)
            place = (row + line.index) * n["n"] + column
            if self.kernel.residual:
                value = value + e.load(p["residual"] + place, LANES)
            e.store(activate(e, value, self.kernel.activation), p["result"] + place)


def _low_bytes(e: Emitter, vectors: Sequence[Vector]) -> Vector:
    """The lowest bytes of each lane of up to four vectors in one lane, the first one lowest."""
    lanes = [e.bits(v, DType.U32) for v in vectors]
    joined = lanes[0] & 0xFF
    for i, lane in enumerate(lanes[1:], 1):
        joined = joined | (lane << 8 * i) & (0xFF << 8 * i)
    return e.bits(joined, DType.I32)


def pack_slices(weight: Array) -> dict[str, Array]:
    """Weights [K, N] as `weight`, for each panel of 16 columns [blocks, SLICES, 16, 16 columns, 4], and `scale` [N]."""
    k, n = weight.shape
    largest = np.abs(weight).max(axis=0).astype(np.float64)
    scale = np.where(largest > 0, largest, 1) / _LARGEST
    rest = weight.astype(np.float64) / scale
    slices = []
    for _ in range(SLICES):
        slices.append(np.rint(rest).astype(np.int8))
        rest = (rest - slices[-1]) * _STEP
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
    kept, slots = (pairs, pairs * blocks_of(k)) if panels_outside else (_UNDER_WAY, blocks_of(k) + 1)
    return _SUMS + kept * _SCALES + slots * SLOT


def blocks_of(k: int) -> int:
    """Tiles that sums of k terms take."""
    return -(-k // BLOCK)
