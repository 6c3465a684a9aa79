"""Exact sums of products of bytes: how each instruction set takes them, and how rows and weights lie for it.

Every 32-bit lane sums some neighbouring terms at once: four products of bytes, one operand unsigned and one signed
(VNNI) or both signed (dotprod of ARM), two products of 16-bit integers (x86 without it), or one (elsewhere). Rows are
read as they are, or from a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.kernels.emitter import Emitter, Number, Pointer, Vector
from nascompiler.backends.target import Isa
from nascompiler.ir.types import Array, DType

SIGN = 128
"""What signed bytes are moved by to become unsigned: the sign bit is flipped."""

SMALL_GROUPS = 8
"""Groups of terms that are all written out where their number is known when code is made."""

_SHORT = 16
"""Bytes that any processor copies at once."""

_LINE_BYTES = 64


@dataclass(frozen=True)
class Dots:
    """`group` terms of a sum in each lane at once, of rows of type `x` and weights of type `weight`."""

    group: int
    x: DType
    weight: DType

    @classmethod
    def of(cls, isa: Isa) -> Dots:
        if "vnni" in isa.dots:
            return cls(4, DType.U8, DType.I8)
        if "dotprod" in isa.dots:
            return cls(4, DType.I8, DType.I8)
        return cls(2 if isa.architecture == "x86_64" else 1, DType.I16, DType.I16)

    def groups(self, k: int) -> int:
        """Groups of terms in a sum of k; the last may be padded with weights of zero."""
        return -(-k // self.group)

    def reads_directly(self, x: DType, k: int) -> bool:
        """Whether rows [k] of type `x` need no staging."""
        return x is self.x and k % self.group == 0

    def shift(self, x: DType) -> int:
        """What staged numbers exceed those of type `x` by."""
        if self.x.bytes != 1 or x is self.x:
            return 0
        return SIGN if self.x is DType.U8 else -SIGN

    def pack(self, weight: Array) -> Array:
        """Weights [K, N] of 8 bits as one array [groups, N], an element for each group of terms."""
        missing = -weight.shape[0] % self.group
        padded = np.pad(weight, ((0, missing), (0, 0))).astype(self.weight.numpy)
        grouped = np.ascontiguousarray(padded.reshape(-1, self.group, weight.shape[1]).transpose(0, 2, 1))
        return grouped.view(f"i{self.group * self.weight.bytes}")[..., 0]


def stage(e: Emitter, x: Pointer, staged: Pointer, rows: Number, k: Number, groups: Number, dots: Dots) -> None:
    """Copy rows [k] that follow each other as `dots` wants them, a row to every `groups` groups."""
    length = groups * dots.group
    together = e.index(k).equals(length)
    count, size = e.choose(together, 1, rows), e.choose(together, e.index(rows) * k, k)
    flip = dots.shift(x.dtype)

    def copy(source: Pointer, target: Pointer, width: int) -> None:
        value = e.convert(e.load(source, width), dots.x)
        e.store(value ^ flip if flip else value, target)

    with e.loop(0, count, unroll=1) as row:
        source, target = x + row.index * k, staged + row.index * length
        widest = e.isa.lanes * 4 // dots.x.bytes
        _in_pieces(
            e, size, [w for w in (widest, _SHORT) if w <= widest], lambda at, w: copy(source + at, target + at, w)
        )


def _in_pieces(e: Emitter, length: Number, widths: Sequence[int], body: Callable[[Number, int], None]) -> None:
    """`body(start, width)` for pieces of `length` elements as wide as it allows; the last overlaps the one before."""
    if not widths:
        with e.loop(0, length, unroll=1) as loop:
            body(loop.index, 1)
        return
    width = widths[0]
    with e.when(e.index(length) >= width), e.loop(0, length, width, unroll=1) as loop:
        body(e.smaller(loop.index, e.index(length) - width), width)
    with e.when(e.index(length) < width):
        _in_pieces(e, length, widths[1:], body)


def add_dots(
    e: Emitter,
    rows: Sequence[Pointer],
    weight: Pointer,
    groups: Number,
    sums: Sequence[Vector],
    dots: Dots,
    unroll: int,
    *,
    long: bool = False,
    roomy: bool = False,
) -> list[Vector]:
    """`sums`, row by row, plus x[row] [groups] * weight [groups, vectors of columns], of rows as `stage` makes them.

    `long` says that there are more than SMALL_GROUPS groups, `roomy` that a vector may be read where a row ends.
    """
    size = e.isa.lanes * dots.group
    vectors = len(sums) // len(rows)
    columns = [weight + v * size for v in range(vectors)]
    if e.multiplies_by_lane:
        return _add_dots_by_lane(e, rows, columns, vectors * size, groups, sums, dots, long=long, roomy=roomy)
    return add_dots_of_columns(e, rows, columns, vectors * size, groups, sums, dots, unroll)


def add_dots_of_columns(
    e: Emitter,
    rows: Sequence[Pointer],
    columns: Sequence[Pointer],
    step: int,
    groups: Number,
    sums: Sequence[Vector],
    dots: Dots,
    unroll: int,
    prefetch: int = 0,
) -> list[Vector]:
    """The same for weights whose vectors of columns stand apart, each with a group of terms every `step` elements.

    `prefetch` is how many elements ahead of its reads each vector of columns is asked for; 0 for not at all.
    """
    size = e.isa.lanes * dots.group

    if e.multiplies_by_lane:
        return _add_dots_by_lane(e, rows, columns, step, groups, sums, dots)

    def steps(start: Number, count: int, sums: Sequence[Vector]) -> list[Vector]:
        for i in range(count):
            places = [column + (start * step + i * step) for column in columns]
            if prefetch and i * step * dots.weight.bytes % _LINE_BYTES == 0:
                for place in places:
                    e.prefetch(place + prefetch)
            weights = [e.load(place, size) for place in places]
            added: list[Vector] = []
            for row in rows:
                value = _terms(e, row + (start * dots.group + i * dots.group), dots)
                added += [_add(e, sums[len(added) + v], value, weight, dots) for v, weight in enumerate(weights)]
            sums = added
        return list(sums)

    if isinstance(groups, int):
        return steps(0, groups, sums)
    whole = groups // unroll * unroll
    with e.loop(0, whole, unroll, sums, unroll=1) as loop:
        loop.values = steps(loop.index, unroll, loop.values)
    with e.loop(whole, groups, 1, loop.values, unroll=1) as rest:
        rest.values = steps(rest.index, 1, rest.values)
    return rest.values


def _terms(e: Emitter, x: Pointer, dots: Dots) -> Vector:
    """A group of a row in every lane."""
    if dots.group == 1:
        return e.broadcast(x, e.isa.lanes)
    return e.broadcast_quad(x, e.isa.lanes)


def _add(e: Emitter, sums: Vector, x: Vector, weight: Vector, dots: Dots) -> Vector:
    if dots.group == 1:
        return sums + e.convert(x, DType.I32) * e.convert(weight, DType.I32)
    lanes = e.bits(weight, DType.I32)
    return e.dot_bytes(sums, x, lanes) if dots.group == 4 else sums + e.dot_pairs(x, lanes)


def _add_dots_by_lane(
    e: Emitter,
    rows: Sequence[Pointer],
    columns: Sequence[Pointer],
    step: int,
    groups: Number,
    sums: Sequence[Vector],
    dots: Dots,
    *,
    long: bool = False,
    roomy: bool = False,
) -> list[Vector]:
    """The same where an instruction takes a lane: groups of a row are loaded together, as many as fill a register.

    The first ones of long rows stand in front of the loop, where what sums begin with is loaded beside their products.
    """
    size = e.isa.lanes * dots.group
    together = _SHORT // (dots.group * dots.x.bytes)

    def steps(start: Number, count: int, sums: Sequence[Vector]) -> list[Vector]:
        read = together if roomy else count
        values = [_groups(e, row + (e.index(start) * dots.group), read, dots) for row in rows]
        for i in range(count):
            weights = [e.load(column + (e.index(start) * step + i * step), size) for column in columns]
            added: list[Vector] = []
            for value in values:
                factor = e.splat_lane(value, i, e.isa.lanes)
                added += [_add(e, sums[len(added) + v], factor, weight, dots) for v, weight in enumerate(weights)]
            sums = added
        return list(sums)

    if isinstance(groups, int):
        for start in range(0, groups, together):
            sums = steps(start, min(together, groups - start), sums)
        return list(sums)
    whole = groups // together * together
    if long:
        sums = steps(0, together, sums)
    with e.loop(together if long else 0, whole, together, sums, unroll=1) as loop:
        loop.values = steps(loop.index, together, loop.values)
    with e.loop(whole, groups, 1, loop.values, unroll=1) as rest:
        rest.values = steps(rest.index, 1, rest.values)
    return rest.values


def _groups(e: Emitter, x: Pointer, count: int, dots: Dots) -> Vector:
    """So many groups of a row, each in a lane."""
    return e.load(x, count) if dots.group == 1 else e.load_quads(x, count)
