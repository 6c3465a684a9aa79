"""Elementwise operations on 8-bit integers, each float32 step as docs/integers.md has it.

Elements are taken in blocks of `block`: four vectors where results of four are packed together (AVX-512, NEON), else
one vector, or a single element where there are fewer. The last block overlaps the one before.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.depthwise_int8 import unpack
from nascompiler.backends.kernels.dots import SIGN
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import Requantization, round_block
from nascompiler.backends.target import Isa
from nascompiler.ir.types import DType

TABLE = 256
"""Entries of a table, one for each byte."""

BYTES = 16
"""Bytes of a vector on ARM."""

_LEAST = 2**23
"""From here on floats are integers; _HIGH is the upper half of its bits, in the lower are those of what is added."""
_HIGH = 0x4B00

_WORDS = 64
"""Pairs of entries in the two registers that one permutation takes."""


def block_of(isa: Isa, count: int) -> int:
    """The elements of a block, of which there are `count` next to each other."""
    packs = isa.lanes == 16 or isa.architecture == "aarch64"
    return next(size for size in (4 * isa.lanes if packs else isa.lanes, isa.lanes, 1) if size <= count)


@dataclass(frozen=True)
class BinaryInt8(Kernel):
    """result [rows, columns] = requantised(a [rows, columns], b [rows or 1, columns]), rows of `images` images.

    `operation` is add, a * factors[0] + b * factors[1], or mul, a * b * factors[0], of numbers less their zero points.
    When `broadcast`, each image has one row of b.
    """

    operation: str
    a_dtype: DType
    b_dtype: DType
    requantization: Requantization
    block: int
    broadcast: bool = False

    name: ClassVar[str] = "binary_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {
            "a": self.a_dtype,
            "b": self.b_dtype,
            "factors": DType.F32,
            "result": self.requantization.dtype,
        }

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("images", "rows", "columns", "a_zero_point", "b_zero_point", *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        size = min(self.block, e.isa.lanes)
        finish = round_block(e, self.requantization, p, n, self.block)
        zero_points = [e.splat_index(n[f"{name}_zero_point"], size) for name in "ab"]
        factors = [e.broadcast(p["factors"] + i, size) for i in range(2 if self.operation == "add" else 1)]

        def numbers(pointer: Pointer, zero_point: Vector) -> list[Vector]:
            return numbers_of_bytes(e, pointer, zero_point, self.block)

        def combine(a: Vector, b: Vector) -> Vector:
            if self.operation == "add":
                return a * factors[0] + b * factors[1]
            return a * b * factors[0]

        blocks = (n["columns"] + (self.block - 1)) // self.block
        first, last = share(e, blocks, n)
        with e.loop(0, n["images"]) as image, e.loop(first, last) as item:
            column = e.index(e.smaller(item.index * self.block, n["columns"] - self.block))
            start = image.index * (n["rows"] * n["columns"]) + column
            gate = numbers(p["b"] + image.index * n["columns"] + column, zero_points[1]) if self.broadcast else None
            with e.loop(0, n["rows"]) as row:
                at = start + row.index * n["columns"]
                left = numbers(p["a"] + at, zero_points[0])
                right = numbers(p["b"] + at, zero_points[1]) if gate is None else gate
                e.store(finish([combine(a, b) for a, b in zip(left, right, strict=True)]), p["result"] + at)


@dataclass(frozen=True)
class _Unary(Kernel):
    """result [count] of x [count], block by block."""

    block: int

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        body = self.prepare(e, p, n)
        first, last = share(e, (n["count"] + (self.block - 1)) // self.block, n)
        with e.loop(first, last) as item:
            body(e.smaller(item.index * self.block, n["count"] - self.block))

    @abstractmethod
    def prepare(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> Callable[[Number], None]:
        """What computes the block that begins at an element."""


@dataclass(frozen=True)
class Requantize(_Unary):
    """result = requantised((x - x_zero_point) * factors[0]) for bytes x; of float32 it is requantised(x / factors[0]),
    where NaN counts as zero and factors[1] is 1 / factors[0], rounded, which is between 2 ** -90 and 2 ** 90."""

    x_dtype: DType
    requantization: Requantization

    name: ClassVar[str] = "requantize_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": self.x_dtype, "factors": DType.F32, "result": self.requantization.dtype}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("count", "x_zero_point", *self.requantization.sizes)

    def prepare(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> Callable[[Number], None]:
        size = min(self.block, e.isa.lanes)
        finish = round_block(e, self.requantization, p, n, self.block)
        factor, zero_point = e.broadcast(p["factors"], size), e.splat_index(n["x_zero_point"], size)
        inverse = e.broadcast(p["factors"] + 1, size) if self.x_dtype.is_float else factor

        def scaled(x: Vector) -> Vector:
            x = quotient(e, x, factor, inverse)
            if e.isa.architecture == "aarch64" and self.block == 4 * e.isa.lanes:
                return x  # the conversion to integers makes zero of NaN
            return e.select(x.greater(0), x, 0.0) + e.select(x.less(0), x, 0.0)  # NaN is neither

        def body(at: Number) -> None:
            if self.x_dtype.is_float:
                values = [scaled(e.load(p["x"] + at + i, size)) for i in range(0, self.block, size)]
            else:
                values = [x * factor for x in numbers_of_bytes(e, p["x"] + at, zero_point, self.block)]
            e.store(finish(values), p["result"] + at)

        return body


def numbers_of_bytes(e: Emitter, pointer: Pointer, zero_point: Vector, count: int) -> list[Vector]:
    """`count` bytes less their zero point [lanes, int32] as float32, in vectors.

    On ARM, where conversions are slow, bytes become the low bits of floats of 2 ** 23 and more, from which that is
    taken away with the zero point.
    """
    lanes = min(count, e.isa.lanes)
    if e.isa.architecture != "aarch64" or count != BYTES:
        values = (e.load(pointer + i, lanes) for i in range(0, count, lanes))
        return [e.convert(e.convert(v, DType.I32) - zero_point, DType.F32) for v in values]
    x = e.load(pointer, count)
    unsigned = x ^ SIGN if pointer.dtype.is_signed else x
    zero, high = e.constant(0, count, x.dtype), e.constant(_HIGH, count // 2, DType.I16)
    words = [e.bits(unpack(e, unsigned, zero, half), DType.I16) for half in range(2)]
    floats = [e.bits(unpack(e, word, high, half), DType.F32) for word in words for half in range(2)]
    lowest = e.convert(zero_point, DType.F32) + (_LEAST + (SIGN if pointer.dtype.is_signed else 0))
    return [f - lowest for f in floats]


def quotient(e: Emitter, x: Vector, y: Vector, inverse: Vector) -> Vector:
    """x / y, correctly rounded, where that is from 1 / 4 to 2 ** 20 in size; less or more than that where x / y is.

    Two corrections by the exact remainder (Markstein, IBM Journal of Research and Development 34, 1990) take a quarter
    of a division's time; `inverse` is 1 / y, rounded, and neither may be near the ends of the range.
    """
    if not e.isa.fused_multiply_add:
        return x / y
    x = e.at_most(e.at_least(x, y * -(2.0**20)), y * 2.0**20)
    result, negative = x * inverse, 0 - y
    for _ in range(2):
        remainder = e.multiply_add(result, negative, x)
        result = e.multiply_add(remainder, inverse, result)
    return result


@dataclass(frozen=True)
class Dequantize(_Unary):
    """result = (x - x_zero_point) * factors[0] in float32."""

    x_dtype: DType

    name: ClassVar[str] = "dequantize_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": self.x_dtype, "factors": DType.F32, "result": DType.F32}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("count", "x_zero_point")

    def prepare(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> Callable[[Number], None]:
        size = min(self.block, e.isa.lanes)
        factor, zero_point = e.broadcast(p["factors"], size), e.splat_index(n["x_zero_point"], size)

        def body(at: Number) -> None:
            for i in range(0, self.block, size):
                x = e.convert(e.load(p["x"] + at + i, size), DType.I32) - zero_point
                e.store(e.convert(x, DType.F32) * factor, p["result"] + at + i)

        return body


@dataclass(frozen=True)
class Lookup(_Unary):
    """result = table [256] at the bits of x, as unsigned bytes."""

    dtype: DType

    name: ClassVar[str] = "lookup_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": DType.U8, "table": DType.U8, "result": self.dtype}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("count",)

    def prepare(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> Callable[[Number], None]:
        result = p["result"].cast(DType.U8)
        if e.isa.lanes != 16 or self.block < 64:

            def one_by_one(at: Number) -> None:
                for i in range(self.block):
                    entry = p["table"] + e.load_index(p["x"] + at + i)
                    e.store(e.load(entry, 1), result + at + i)

            return one_by_one
        table = [e.bits(e.load(p["table"] + start, 64), DType.I16) for start in range(0, TABLE, 64)]

        def block(at: Number) -> None:
            x = e.bits(e.load(p["x"] + at, 64), DType.U16)
            odd = self._entries(e, table, x >> 8)
            even = self._entries(e, table, x & 0xFF)
            e.store(e.bits(even | (odd << 8), DType.U8), result + at)

        return block

    @staticmethod
    def _entries(e: Emitter, table: Sequence[Vector], index: Vector) -> Vector:
        """The entries at 16-bit indices, from the pairs that four registers hold."""
        pair = e.bits(index >> 1, DType.I16)
        low, high = e.permute_pairs(table[0], pair, table[1]), e.permute_pairs(table[2], pair, table[3])
        pairs = e.bits(e.select(index.less(TABLE // 2), low, high), DType.U16)
        return e.select((index & 1).greater(0), pairs >> 8, pairs & 0xFF)
