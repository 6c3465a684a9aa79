"""Float32 numbers in slices of bytes, for tile registers (AMX): how they are cut, multiplied and joined again.

Numbers that share a scale, a row of a product or a patch of an image, are divided by the largest of them and cut into
three slices of signed bytes, which together hold its 24 bits; so is a column of weights. Sums of products of bytes are
exact, and of the nine products of slices the six largest count (the Ozaki scheme on integers; Ootomo, Ozaki, Yokota:
DGEMM on Integer Matrix Multiplication Unit, 2024). What is left out and cut off is, for each product, at most about
2 ** -22 of the largest number of that scale times the largest weight in the column, which for most sums is what float32
rounds off. Where a number is not finite, nothing of that scale has a finite result.

A tile multiplies bytes thirty times as fast as float32 vectors multiply floats, so that six products are a fifth of the
work of one. The sums of a tile, of products of three magnitudes, go through memory to be joined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nascompiler.backends.kernels.activation import Activation, activate
from nascompiler.backends.kernels.emitter import Condition, Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, Tiles, tile_configuration
from nascompiler.ir.types import Array, DType

SLICES = 3
"""Bytes that a float32 number is cut into."""

LANES = 16
"""Columns of a tile of sums, and terms of a vector of float32."""

BLOCK = TILE_BYTES
"""Terms of a sum that a tile holds: four vectors of them."""

SHORT = BLOCK // 2
"""Terms up to which a block may be short: a tile holds two slices of it side by side, and four products are enough."""

LARGEST = 127.0
"""What the largest number of a row or a column is in units of the first slice."""

_STEP = 256.0
"""How much more a unit of a slice is worth than one of the next."""

UNIT = _STEP ** (SLICES - 1)
"""Units of the last slice in one of the first."""

_MOVE = 128 * (UNIT + _STEP + 1)
"""Added to a number it makes each of its signed digits an unsigned one."""

_SIGNS = 0x80808080
"""What turns bytes from 0 on into bytes from -128 on."""

LEAST = 2.0**-100
"""Numbers that are all smaller count as zero."""

TILE = TILE_ROWS * TILE_BYTES
"""Bytes of a tile."""

SUMS = SLICES * TILE
"""Bytes that the sums of a tile of rows and a panel of columns take."""

_ROWS, _WEIGHTS = (3, 5, 6), (4, 7)
"""Tile registers of the slices of x, and two for those of weights; the first SLICES hold the sums of each magnitude."""


def slice_tiles(tile_rows: int) -> Array:
    """What configures the registers, with so many rows of x in a tile."""
    rows = [TILE_ROWS if register in _WEIGHTS else tile_rows for register in range(SLICES + 5)]
    return tile_configuration(rows)


@dataclass(frozen=True)
class Products:
    """The products of a tile of rows and a panel of columns, `blocks` of terms.

    `x` says where the slices of the rows of a block lie, `pitch` bytes apart; `weight` is [blocks, SLICES, TILE]. Which
    of them is `streamed` leaves the nearest cache to the other. `meanwhile` is emitted between the products of a block,
    which take longer than their instructions. The first block may be `short`, as `store_short` and `pack_slices` make
    it.
    """

    e: Emitter
    registers: Tiles
    x: Callable[[Index], Sequence[Pointer]]
    pitch: Number
    weight: Pointer
    blocks: Index
    meanwhile: Callable[[Index], None]
    streamed: Literal["x", "weight"] | None
    short: Condition | None = None

    def sum(self, sums: Pointer) -> None:
        """Leave their sums in `sums` (i32) [SLICES, 16 rows, 16 columns].

        Tiles are loaded while the product before the one that needs them is under way: in a core whose other thread
        uses tiles as well, products that come right behind their loads take a third longer.
        """
        for magnitude in range(SLICES):
            self.registers.zero(magnitude)
        e, start = self.e, self.e.index(0)
        first: Number = 0
        if self.short is None:
            self._begin(_WEIGHTS[0], start)
        else:
            first = e.choose(self.short, 1, 0)
            with e.when(self.short):
                self._short_block(*reversed(_WEIGHTS))
            with e.when(e.neither(self.short)):
                self._begin(_WEIGHTS[0], start)
        with e.loop(first, self.blocks, 2, unroll=1) as pair:
            # two blocks, which change the registers of weights: the second is missing behind an odd number
            self._block(pair.index, *_WEIGHTS)
            with e.when(pair.index + 1 < self.blocks):
                self._block(pair.index + 1, *reversed(_WEIGHTS))
        for magnitude in range(SLICES):
            self.registers.store(magnitude, sums + magnitude * (TILE // 4), TILE_BYTES)

    def _begin(self, near: int, block: Index) -> None:
        """Load what the first product of a block needs."""
        self._load_weights(near, block, 0)
        self._load_rows(_ROWS[1], self.x(block)[1])

    def _short_block(self, near: int, far: int) -> None:
        """The products of the tiles of a short block (x, weight) 10, 00, 11, 12, whatever stands where."""
        start = self.e.index(0)
        first, second, _ = _ROWS
        self._begin(near, start)
        self._product(0, second, near)
        self._load_rows(first, self.x(start)[0])
        self._load_weights(far, start, 1)
        self._product(2, first, near)
        self.meanwhile(start)
        self._load_weights(near, start, 2)
        self._product(1, second, far)
        self._product(2, second, near)
        self._begin(far, self.e.index(self.e.smaller(1, self.blocks - 1)))

    def _block(self, block: Index, near: int, far: int) -> None:
        """The products of slices (x, weight) 10, 00, 20, 01, 11, 02; x 1 is there, and weight 0 in `near`."""
        following = self.e.index(self.e.smaller(block + 1, self.blocks - 1))
        rows, (first, second, third) = self.x(block), _ROWS
        self._product(1, second, near)
        self._load_rows(first, rows[0])
        self._load_rows(third, rows[2])
        self._product(0, first, near)
        self._load_weights(far, block, 1)
        self._product(2, third, near)
        self.meanwhile(block)
        self._load_weights(near, block, 2)
        self._product(1, first, far)
        self._product(2, second, far)
        self._load_weights(far, following, 0)
        self._load_rows(second, self.x(following)[1])
        self._product(2, first, near)

    def _load_rows(self, register: int, slice: Pointer) -> None:
        self.registers.load(register, slice, self.pitch, once=self.streamed == "x")

    def _load_weights(self, register: int, block: Index, slice: int) -> None:
        tile = self.weight + (block * SLICES + slice) * TILE
        self.registers.load(register, tile, TILE_BYTES, once=self.streamed == "weight")

    def _product(self, magnitude: int, x: int, weight: int) -> None:
        self.registers.dot(magnitude, x, weight, DType.I8)
        self.registers.pause()


@dataclass(frozen=True)
class Result:
    """A tile of results, [rows, 16], whose rows lie `stride` apart, and what it is made of.

    `sums` are those of the tile, `scales` of its rows; `scale` and `bias` are of its columns. The first `known` rows
    are somebody else's; `share` rows go with each block of products.
    """

    e: Emitter
    activation: Activation
    sums: Pointer
    scales: Pointer
    scale: Vector
    bias: Vector
    residual: Pointer | None
    result: Pointer
    stride: Index
    rows: Index
    known: Number
    share: Index

    @classmethod
    def of(
        cls,
        e: Emitter,
        activation: Activation,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        sums: Pointer,
        scales: Pointer,
        row: Number,
        panel: Index,
        blocks: Index,
        known: Number = 0,
    ) -> Result:
        """Rows from `row` on of a panel of the result [..., n] of a kernel with these pointers and sizes.

        They are finished beside so many `blocks` of products; the last panel ends with the columns.
        """
        column = e.smaller(panel * LANES, n["n"] - LANES)
        place = e.index(row) * n["n"] + column
        return cls(
            e,
            activation,
            sums,
            scales,
            e.load(p["scale"] + column, LANES),
            e.load(p["bias"] + column, LANES),
            p["residual"] + place if "residual" in p else None,
            p["result"] + place,
            n["n"],
            n["tile_rows"],
            known,
            (n["tile_rows"] + blocks - 1) // blocks,
        )

    def finish_beside(self, block: Index) -> None:
        """Store the share of the rows that goes with a block of products."""
        first = self.e.smaller(block * self.share, self.rows)
        self.finish(self.e.larger(first, self.known), self.e.smaller(first + self.share, self.rows))

    def finish_all(self) -> None:
        """Store all rows."""
        self.finish(self.known, self.rows)

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
            e.store(activate(e, value, self.activation), self.result + place)


def store_short(e: Emitter, terms: Sequence[Vector], factor: Vector, targets: Sequence[Pointer]) -> None:
    """Store two vectors of terms, times a factor, as a row of the tiles of a short block.

    The first target gets the last slice and what it may, to meet weights of zero; the second the first two slices.
    """
    ends, middles = _digits(e, terms, factor)
    low = e.constant(0x0000FFFF, LANES, DType.U32)
    for value, target in zip((ends, e.choose_bits(low, ends >> 16, middles << 16)), targets, strict=True):
        e.store(e.bits(value ^ _SIGNS, DType.I32), target.cast(DType.I32))


def _digits(e: Emitter, terms: Sequence[Vector], factor: Vector) -> tuple[Vector, Vector]:
    """Of two vectors of terms, times a factor, bytes 0 and 2 of both in each lane, and bytes 1; signs are moved."""
    # Digits to the base 256 from -128 on: bytes of a number moved by 128 in each of them, less 128 again.
    a, b = (e.bits(e.round_to_integer(e.multiply_add(t, factor, e.constant(_MOVE, LANES))), DType.U32) for t in terms)
    even = e.constant(0x00FF00FF, LANES, DType.U32)
    return e.choose_bits(even, a, b << 8), e.choose_bits(even, a >> 8, b)


def store_slices(e: Emitter, terms: Sequence[Vector], factor: Vector, targets: Sequence[Pointer]) -> None:
    """Store two or four vectors of terms, times a factor, as a row of 64 bytes in each of SLICES targets.

    A lane takes terms 16 apart. With two vectors the rest of the row is what it may, to meet weights of zero.
    """
    low = e.constant(0x0000FFFF, LANES, DType.U32)
    pairs = zip(terms[::2], terms[1::2], strict=True)
    ends, middles = zip(*(_digits(e, pair, factor) for pair in pairs), strict=True)
    if len(ends) == 2:
        slices = [
            e.choose_bits(low, ends[0] >> 16, ends[1]),
            e.choose_bits(low, middles[0], middles[1] << 16),
            e.choose_bits(low, ends[0], ends[1] << 16),
        ]
    else:
        slices = [ends[0] >> 16, middles[0], ends[0]]
    for value, target in zip(slices, targets, strict=True):
        e.store(e.bits(value ^ _SIGNS, DType.I32), target.cast(DType.I32))


def largest(e: Emitter, sizes: Vector) -> Vector:
    """In all lanes the scale of numbers with these `sizes`."""
    width = LANES
    while width > 1:
        width //= 2
        sizes = e.at_least(sizes, e.shuffle(sizes, sizes, [i ^ width for i in range(LANES)]))
    return scale_of(e, sizes)


def scale_of(e: Emitter, sizes: Vector) -> Vector:
    """The scale, in units of the first slice, of numbers the largest of which has these bits, sign apart."""
    return e.at_least(e.bits(sizes, DType.F32), LEAST) * (1 / LARGEST)


def sizes_of(e: Emitter, terms: Vector) -> Vector:
    """Bits without the sign, which are in the order of the sizes of the numbers; NaN is largest."""
    return e.bits(terms, DType.I32) & 0x7FFFFFFF


def pack_slices(weight: Array, *, short: bool = False) -> dict[str, Array]:
    """Weights [..., K, N] as `weight` and `scale` [N].

    `weight` is, for each panel of 16 columns, [..., blocks, SLICES, 16, 16 columns, 4]. With `short` blocks the first
    one is short where so few terms are left, otherwise the last one has those that are.
    """
    k, n = weight.shape[-2:]
    weight = weight.reshape(-1, k, n)
    most = np.abs(weight).max(axis=(0, 1)).astype(np.float64)
    scale = np.where(most > 0, most, 1) / LARGEST
    moved = (np.rint(weight.astype(np.float64) / scale * UNIT) + _MOVE).astype(np.int32)
    slices = np.stack([((moved >> 8 * i & 0xFF) - 128).astype(np.int8) for i in reversed(range(SLICES))], axis=1)
    short = short and has_short_block(k)
    first = np.arange(4 * blocks_of(k))[:, None] * LANES
    last = np.full_like(first, k)
    if short:
        first[4:] -= -k % BLOCK
        last[:4] = [[k % BLOCK]] * 2 + [[0]] * 2
    terms = np.minimum(first, k - LANES) + np.arange(LANES)  # as kernels read x
    is_met = ((terms >= first) & (terms < last))[..., None]
    parts = np.where(is_met, slices[:, :, terms], np.int8(0))  # [..., SLICES, vectors, 16, N]
    parts = parts.reshape(len(weight), SLICES, -1, 4, LANES, n).transpose(0, 2, 1, 4, 5, 3)
    if short:
        parts[:, 0, 1:, ..., 2:] = parts[:, 0, :-1, ..., :2]  # meet the second slice, beside the first in a tile
    quads = np.ascontiguousarray(parts).view(np.int32).reshape(-1, n)
    panels = Panels.of(n, LANES, 1)
    assert panels is not None
    return {"weight": panels.pack(quads).view(np.int8), "scale": scale.astype(np.float32)}


def has_short_block(k: int) -> bool:
    """Whether the first block of k terms may be short."""
    return 0 < k % BLOCK <= SHORT


def blocks_of(k: int) -> int:
    """Tiles that sums of k terms take."""
    return -(-k // BLOCK)
