"""A small vector-IR emitter: loops, addresses and vectors over an LLVM IR builder, for any instruction set.

Kernels are written with it, and with nothing else. Sizes are 64-bit integers known when the kernel runs (`Index`),
addresses know the type of what they point at (`Pointer`), vectors have a length fixed when the code is made (`Vector`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Union

from llvmlite import ir

from nascompiler.backends.target import Isa
from nascompiler.ir.types import DType

_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_ADDRESS = ir.PointerType()

_ELEMENTS: dict[DType, Any] = {
    DType.F32: ir.FloatType(),
    DType.I8: _I8,
    DType.U8: _I8,
    DType.I16: ir.IntType(16),
    DType.U16: ir.IntType(16),
    DType.I32: _I32,
    DType.U32: _I32,
    DType.I64: _I64,
}

Number = Union["Index", int]
"""A size or an offset: known when the code is made (int), or when it runs."""


@dataclass(frozen=True)
class Index:
    """A signed 64-bit integer that is known when the kernel runs."""

    emitter: Emitter
    value: Any

    def _binary(self, name: str, other: Number, *, swap: bool = False) -> Index:
        left, right = self.value, self.emitter.raw(other)
        if swap:
            left, right = right, left
        return Index(self.emitter, self.emitter.arithmetic(name, left, right))

    def _compare(self, sign: str, other: Number) -> Condition:
        return Condition(self.emitter.builder.icmp_signed(sign, self.value, self.emitter.raw(other)))

    def __add__(self, other: Number) -> Index:
        return self if isinstance(other, int) and other == 0 else self._binary("add", other)

    def __radd__(self, other: Number) -> Index:
        return self + other

    def __sub__(self, other: Number) -> Index:
        return self._binary("sub", other)

    def __rsub__(self, other: Number) -> Index:
        return self._binary("sub", other, swap=True)

    def __mul__(self, other: Number) -> Index:
        return self if isinstance(other, int) and other == 1 else self._binary("mul", other)

    def __rmul__(self, other: Number) -> Index:
        return self * other

    def __floordiv__(self, other: Number) -> Index:
        """Quotient of numbers that are not negative."""
        return self._binary("udiv", other)

    def __mod__(self, other: Number) -> Index:
        """Remainder of numbers that are not negative."""
        return self._binary("urem", other)

    def __lt__(self, other: Number) -> Condition:
        return self._compare("<", other)

    def __le__(self, other: Number) -> Condition:
        return self._compare("<=", other)

    def __gt__(self, other: Number) -> Condition:
        return self._compare(">", other)

    def __ge__(self, other: Number) -> Condition:
        return self._compare(">=", other)

    def is_below(self, limit: Number) -> Condition:
        """Whether this is less than a limit and not negative."""
        return Condition(self.emitter.builder.icmp_unsigned("<", self.value, self.emitter.raw(limit)))

    def equals(self, other: Number) -> Condition:
        return self._compare("==", other)


@dataclass(frozen=True)
class Condition:
    """A truth value that is known when the kernel runs."""

    value: Any


@dataclass(frozen=True)
class Pointer:
    """The address of an element."""

    emitter: Emitter
    address: Any
    dtype: DType

    def __add__(self, offset: Number) -> Pointer:
        """The address `offset` elements further on."""
        if isinstance(offset, int) and offset == 0:
            return self
        builder = self.emitter.builder
        address = builder.gep(
            self.address, [self.emitter.raw(offset)], inbounds=False, source_etype=_ELEMENTS[self.dtype]
        )
        return Pointer(self.emitter, address, self.dtype)

    def __sub__(self, offset: Number) -> Pointer:
        return self + (-offset if isinstance(offset, int) else 0 - offset)

    def cast(self, dtype: DType) -> Pointer:
        """The same address, of elements of another type."""
        return Pointer(self.emitter, self.address, dtype)


@dataclass(frozen=True)
class Vector:
    """Some lanes of one type, held in registers. Arithmetic is lane by lane; a plain number stands for all lanes."""

    emitter: Emitter
    value: Any
    dtype: DType

    @property
    def lanes(self) -> int:
        return int(self.value.type.count)

    def _other(self, other: Vector | float) -> Any:
        return other.value if isinstance(other, Vector) else self.emitter.constant(other, self.lanes, self.dtype).value

    def _binary(self, of_float: str, of_int: str, other: Vector | float, *, swap: bool = False) -> Vector:
        name = of_float if self.dtype.is_float else of_int
        operands = (self.value, self._other(other))
        value = getattr(self.emitter.builder, name)(*(operands[::-1] if swap else operands))
        return Vector(self.emitter, value, self.dtype)

    def __add__(self, other: Vector | float) -> Vector:
        return self._binary("fadd", "add", other)

    def __radd__(self, other: float) -> Vector:
        return self + other

    def __sub__(self, other: Vector | float) -> Vector:
        return self._binary("fsub", "sub", other)

    def __rsub__(self, other: float) -> Vector:
        return self._binary("fsub", "sub", other, swap=True)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._binary("fmul", "mul", other)

    def __rmul__(self, other: float) -> Vector:
        return self * other

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._binary("fdiv", "sdiv", other)

    def __rtruediv__(self, other: float) -> Vector:
        return self._binary("fdiv", "sdiv", other, swap=True)

    def __and__(self, other: Vector | int) -> Vector:
        return self._binary("and_", "and_", other)

    def __or__(self, other: Vector | int) -> Vector:
        return self._binary("or_", "or_", other)

    def __xor__(self, other: Vector | int) -> Vector:
        return self._binary("xor", "xor", other)

    def __lshift__(self, bits: int) -> Vector:
        return self._binary("shl", "shl", bits)

    def __rshift__(self, bits: int) -> Vector:
        """Shift right; what comes in is the sign for signed types and zero for unsigned ones."""
        name = "ashr" if self.dtype.is_signed else "lshr"
        return self._binary(name, name, bits)

    def less(self, other: Vector | float) -> Any:
        """Lanes in which this is less than the other (false where either is NaN), for `Emitter.select`."""
        return self._compare("<", other)

    def greater(self, other: Vector | float) -> Any:
        """Lanes in which this is greater than the other (false where either is NaN), for `Emitter.select`."""
        return self._compare(">", other)

    def is_nan(self) -> Any:
        """Lanes that are NaN, for `Emitter.select`."""
        return self.emitter.builder.fcmp_unordered("uno", self.value, self.value)

    def _compare(self, sign: str, other: Vector | float) -> Any:
        builder = self.emitter.builder
        if self.dtype.is_float:
            return builder.fcmp_ordered(sign, self.value, self._other(other))
        compare = builder.icmp_signed if self.dtype.is_signed else builder.icmp_unsigned
        return compare(sign, self.value, self._other(other))


class Loop:
    """A loop under construction. `values` are what the body was given and must end up with for the next round."""

    def __init__(self, index: Index, values: list[Vector]) -> None:
        self.index = index
        self.values = values


class Emitter:
    """Emits into the function that `builder` stands in, for an instruction set."""

    address_type = _ADDRESS

    def __init__(self, builder: Any, isa: Isa) -> None:
        self.builder = builder
        self.isa = isa
        self._loops: list[tuple[Any, set[Any]]] = []
        self._known: dict[tuple[Any, ...], Any] = {}

    # integers and addresses

    def raw(self, number: Number) -> Any:
        """The LLVM value of a number."""
        return ir.Constant(_I64, number) if isinstance(number, int) else number.value

    def arithmetic(self, name: str, left: Any, right: Any) -> Any:
        """A sum, difference or product of integers: made once, and before the loop when nothing in it changes it.

        LLVM would find that too, with several passes over everything that stands in a kernel.
        """
        builder = self.builder
        block = builder.block
        if self._loops and name in ("add", "sub", "mul"):
            before, inside = self._loops[-1]
            if not any(getattr(operand, "parent", None) in inside for operand in (left, right)):
                block = before
        key = (block, name, left, right)
        if key not in self._known:
            with builder.goto_block(block):
                self._known[key] = getattr(builder, name)(left, right)
        return self._known[key]

    def index(self, number: Number) -> Index:
        """A number as an Index."""
        return number if isinstance(number, Index) else Index(self, ir.Constant(_I64, number))

    def smaller(self, a: Number, b: Number) -> Number:
        """The smaller of two numbers."""
        if isinstance(a, int) and isinstance(b, int):
            return min(a, b)
        return self.choose(self.index(a) < b, a, b)

    def larger(self, a: Number, b: Number) -> Number:
        """The larger of two numbers."""
        if isinstance(a, int) and isinstance(b, int):
            return max(a, b)
        return self.choose(self.index(a) > b, a, b)

    def choose(self, condition: Condition, a: Number, b: Number) -> Index:
        """`a` where the condition holds, else `b`."""
        return Index(self, self.builder.select(condition.value, self.raw(a), self.raw(b)))

    def load_index(self, pointer: Pointer) -> Index:
        """An unsigned integer in memory."""
        number = self.builder.load(pointer.address, align=pointer.dtype.bytes, typ=_ELEMENTS[pointer.dtype])
        return Index(self, self.builder.zext(number, _I64))

    def choose_pointer(self, condition: Condition, a: Pointer, b: Pointer) -> Pointer:
        """`a` where the condition holds, else `b`."""
        return Pointer(self, self.builder.select(condition.value, a.address, b.address), a.dtype)

    def either(self, first: Condition, *others: Condition) -> Condition:
        """Whether any of some conditions holds."""
        value = first.value
        for other in others:
            value = self.builder.or_(value, other.value)
        return Condition(value)

    def both(self, a: Condition, b: Condition) -> Condition:
        """Whether two conditions hold."""
        return Condition(self.builder.and_(a.value, b.value))

    def neither(self, *conditions: Condition) -> Condition:
        """Whether none of some conditions holds."""
        return Condition(self.builder.not_(self.either(*conditions).value))

    # control

    @contextmanager
    def loop(
        self, start: Number, stop: Number, step: Number = 1, carried: Sequence[Vector] = (), *, unroll: int = 0
    ) -> Iterator[Loop]:
        """A loop over start, start + step, ... below stop, which may be empty; step > 0.

        `carried` are the vectors with which it starts. The body finds those of the round before in `loop.values`, and
        leaves there what the next round gets; behind the loop they are the final ones. `unroll` asks LLVM to.
        """
        builder = self.builder
        before = builder.block
        body, after = self._block("body"), self._block("after")
        first, limit = self.raw(start), self.raw(stop)
        builder.cbranch(builder.icmp_signed("<", first, limit), body, after)
        builder.position_at_end(body)
        index = builder.phi(_I64)
        index.add_incoming(first, before)
        phis = []
        for vector in carried:
            phi = builder.phi(vector.value.type)
            phi.add_incoming(vector.value, before)
            phis.append(phi)
        loop = Loop(Index(self, index), [Vector(self, p, v.dtype) for p, v in zip(phis, carried, strict=True)])
        self._loops.append((before, {body}))
        yield loop
        self._loops.pop()
        following = builder.add(index, self.raw(step))
        end = builder.block
        branch = builder.cbranch(builder.icmp_signed("<", following, limit), body, after)
        if unroll:
            branch.set_metadata("llvm.loop", self._unrolled(unroll))
        index.add_incoming(following, end)
        results = []
        builder.position_at_end(after)
        for phi, vector, value in zip(phis, carried, loop.values, strict=True):
            phi.add_incoming(value.value, end)
            result = builder.phi(vector.value.type)
            result.add_incoming(vector.value, before)
            result.add_incoming(value.value, end)
            results.append(Vector(self, result, vector.dtype))
        loop.values = results

    def _block(self, name: str) -> Any:
        """A new block of the function, in all loops that are open."""
        block = self.builder.append_basic_block(name)
        for _, inside in self._loops:
            inside.add(block)
        return block

    def _unrolled(self, count: int) -> Any:
        """Metadata that tells LLVM how often to unroll a loop; its first element is, by definition, itself."""
        module = self.builder.module
        name, *number = ("disable",) if count == 1 else ("count", ir.Constant(_I32, count))
        hint = module.add_metadata([ir.MetaDataString(module, f"llvm.loop.unroll.{name}"), *number])
        node = ir.values.MDValue(module, [], name=str(len(module.metadata)))
        node.operands = (node, hint)
        return node

    @contextmanager
    def when(self, condition: Condition) -> Iterator[None]:
        """What is emitted inside runs only when the condition holds."""
        builder = self.builder
        inside, after = self._block("then"), self._block("endif")
        builder.cbranch(condition.value, inside, after)
        builder.position_at_end(inside)
        yield
        builder.branch(after)
        builder.position_at_end(after)

    # vectors

    def constant(self, number: float, lanes: int, dtype: DType = DType.F32) -> Vector:
        """The same number in all lanes."""
        element = _ELEMENTS[dtype]
        number = float(number) if dtype.is_float else int(number)
        return Vector(self, ir.Constant(ir.VectorType(element, lanes), [ir.Constant(element, number)] * lanes), dtype)

    def load(self, pointer: Pointer, lanes: int) -> Vector:
        """Neighbouring elements, at any address that suits one element."""
        type = ir.VectorType(_ELEMENTS[pointer.dtype], lanes)
        value = self.builder.load(pointer.address, align=pointer.dtype.bytes, typ=type)
        return Vector(self, value, pointer.dtype)

    def store(self, vector: Vector, pointer: Pointer) -> None:
        """Write neighbouring elements."""
        self.builder.store(vector.value, pointer.address, align=pointer.dtype.bytes)

    def broadcast(self, pointer: Pointer, lanes: int) -> Vector:
        """One element in all lanes."""
        bytes = pointer.dtype.bytes
        scalar = self.builder.load(pointer.address, align=bytes, typ=_ELEMENTS[pointer.dtype])
        return Vector(self, self._splat(scalar, lanes), pointer.dtype)

    def broadcast_quad(self, pointer: Pointer, lanes: int) -> Vector:
        """Four neighbouring bytes in every lane of a vector of 32-bit integers."""
        scalar = self.builder.load(pointer.address, align=1, typ=_I32)
        return Vector(self, self._splat(scalar, lanes), DType.I32)

    def load_quads(self, pointer: Pointer, lanes: int) -> Vector:
        """Neighbouring bytes, at any address, four to each 32-bit integer."""
        value = self.builder.load(pointer.address, align=1, typ=ir.VectorType(_I32, lanes))
        return Vector(self, value, DType.I32)

    def splat_lane(self, vector: Vector, lane: int, lanes: int) -> Vector:
        """One lane of a vector in all lanes; on ARM no instruction where the result is multiplied."""
        return self.shuffle(vector, vector, [lane] * lanes)

    @property
    def multiplies_by_lane(self) -> bool:
        """Whether multiply-adds and sums of products take a lane of a vector in place of a whole one."""
        return self.isa.architecture == "aarch64"

    def splat_index(self, number: Number, lanes: int) -> Vector:
        """A number, which must fit 32 bits, in all lanes."""
        return Vector(self, self._splat(self.builder.trunc(self.raw(number), _I32), lanes), DType.I32)

    def _splat(self, scalar: Any, lanes: int) -> Any:
        type = ir.VectorType(scalar.type, lanes)
        undefined = ir.Constant(type, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes))

    def shuffle(self, a: Vector, b: Vector, lanes: Sequence[int]) -> Vector:
        """The given lanes of `a` followed by `b`."""
        mask = ir.Constant(ir.VectorType(_I32, len(lanes)), list(lanes))
        return Vector(self, self.builder.shuffle_vector(a.value, b.value, mask), a.dtype)

    def opaque(self, vector: Vector) -> Vector:
        """The same vector, of which LLVM does not know how it was made, so that it neither splits nor repeats that."""
        type = vector.value.type
        constraint = "v" if self.isa.architecture == "x86_64" else "w"
        value = self.builder.asm(ir.FunctionType(type, [type]), "", f"={constraint},0", [vector.value], False)
        return Vector(self, value, vector.dtype)

    def opaque_pointer(self, pointer: Pointer) -> Pointer:
        """The same address, of which LLVM does not know how it was made, so that it does not see what loads share."""
        address = self.builder.asm(ir.FunctionType(_ADDRESS, [_ADDRESS]), "", "=r,0", [pointer.address], False)
        return Pointer(self, address, pointer.dtype)

    def permute_pairs(self, a: Vector, index: Vector, b: Vector) -> Vector:
        """The 16-bit elements of `a` followed by `b` at an index, whose higher bits count for nothing; AVX-512."""
        return self._intrinsic("llvm.x86.avx512.vpermi2var.hi.512", a, index, b)

    def part(self, vector: Vector, start: int, lanes: int) -> Vector:
        """Some neighbouring lanes of a vector."""
        bytes = vector.dtype.bytes
        if self.isa.architecture == "aarch64" and bytes < lanes * bytes == 4 and start % lanes == 0:
            # as a lane of 32 bits, which one instruction stores: LLVM would take narrower elements out one by one
            quads = self.bits(vector, DType.I32).value
            word = self.builder.extract_element(quads, ir.Constant(_I32, start // lanes))
            value = self.builder.bitcast(word, ir.VectorType(_ELEMENTS[vector.dtype], lanes))
            return Vector(self, value, vector.dtype)
        return self.shuffle(vector, vector, range(start, start + lanes))

    def multiply_add(self, a: Vector, b: Vector, c: Vector) -> Vector:
        """a * b + c, rounded once where the processor can, else twice."""
        name = "fma" if self.isa.fused_multiply_add else "fmuladd"
        return self._intrinsic(f"llvm.{name}.v{a.lanes}f32", a, b, c)

    def dot_bytes(self, sums: Vector, unsigned: Vector, signed: Vector) -> Vector:
        """sums + the products of four bytes of each in every 32-bit lane, for `dots` with "vnni" or "dotprod".

        For "dotprod" both are signed.
        """
        if "dotprod" in self.isa.dots:
            function = self.declare(
                "llvm.aarch64.neon.sdot.v4i32.v16i8",
                ir.FunctionType(sums.value.type, [sums.value.type, *[ir.VectorType(_I8, 16)] * 2]),
            )
            # LLVM knows the second operand only as one that may be a lane
            bytes = [self.bits(x, DType.I8).value for x in (signed, unsigned)]
            return Vector(self, self.builder.call(function, [sums.value, *bytes]), DType.I32)
        return self._intrinsic(f"llvm.x86.avx512.vpdpbusd.{32 * sums.lanes}", sums, unsigned, signed)

    def multiply_matrices(self, sums: Vector, rows: Vector, columns: Vector) -> Vector:
        """sums [2, 2] + two rows of eight signed bytes by two columns of as many; for `dots` with "i8mm"."""
        type = ir.FunctionType(sums.value.type, [v.value.type for v in (sums, rows, columns)])
        function = self.declare("llvm.aarch64.neon.smmla.v4i32.v16i8", type)
        return Vector(self, self.builder.call(function, [v.value for v in (sums, rows, columns)]), DType.I32)

    def dot_pairs(self, a: Vector, b: Vector) -> Vector:
        """The sums of both products of 16-bit integers in every 32-bit lane, exact; x86 only."""
        name = {4: "sse2.pmadd.wd", 8: "avx2.pmadd.wd", 16: "avx512.pmaddw.d.512"}[a.lanes]
        pairs = [self.bits(x, DType.I16).value for x in (a, b)]
        function = self.declare(f"llvm.x86.{name}", ir.FunctionType(a.value.type, [pairs[0].type] * 2))
        return Vector(self, self.builder.call(function, pairs), DType.I32)

    def select(self, condition: Any, a: Vector, b: Vector | float) -> Vector:
        """`a` in the lanes where the condition (of `Vector.less` and its like) holds, else `b`."""
        other = b if isinstance(b, Vector) else self.constant(b, a.lanes, a.dtype)
        return Vector(self, self.builder.select(condition, a.value, other.value), a.dtype)

    def choose_bits(self, mask: Vector, a: Vector, b: Vector) -> Vector:
        """The bits of `a` where the mask has ones, else those of `b`; integers of 32 bits."""
        if a.lanes == 16 and self.isa.lanes == 16:
            # one instruction, which LLVM would take for shuffles of more where it sees the masks
            type = a.value.type
            function = self.declare("llvm.x86.avx512.pternlog.d.512", ir.FunctionType(type, [type, type, type, _I32]))
            operands = [v.value for v in (mask, a, b)]
            return Vector(self, self.builder.call(function, [*operands, ir.Constant(_I32, 0xCA)]), a.dtype)
        return b ^ ((a ^ b) & mask)

    def at_least(self, x: Vector, low: Vector | float) -> Vector:
        """The larger of x and a bound; NaN stays NaN. One instruction where the processor has it."""
        bound = low if isinstance(low, Vector) else self.constant(low, x.lanes, x.dtype)
        if self._has_limits(x):
            return self._intrinsic("llvm.aarch64.neon.fmax.v4f32", x, bound)
        return self.select(x.less(bound), bound, x)

    def at_most(self, x: Vector, high: Vector | float) -> Vector:
        """The smaller of x and a bound; NaN stays NaN."""
        bound = high if isinstance(high, Vector) else self.constant(high, x.lanes, x.dtype)
        if self._has_limits(x):
            return self._intrinsic("llvm.aarch64.neon.fmin.v4f32", x, bound)
        return self.select(x.greater(bound), bound, x)

    def _has_limits(self, x: Vector) -> bool:
        """Whether one instruction takes the larger or the smaller of two numbers, NaN before any: LLVM takes two."""
        return self.isa.architecture == "aarch64" and x.dtype is DType.F32 and x.lanes == 4

    def round_to_integer(self, x: Vector) -> Vector:
        """The nearest 32-bit integers, halves to the even one, of numbers that fit; on ARM also the nearest that do."""
        result = ir.VectorType(_I32, x.lanes)
        if self.isa.architecture == "aarch64":
            function = self.declare("llvm.aarch64.neon.fcvtns.v4i32.v4f32", ir.FunctionType(result, [x.value.type]))
            return Vector(self, self.builder.call(function, [x.value]), DType.I32)
        function = self.declare(f"llvm.lrint.v{x.lanes}i32.v{x.lanes}f32", ir.FunctionType(result, [x.value.type]))
        return Vector(self, self.builder.call(function, [x.value]), DType.I32)

    def floor(self, x: Vector) -> Vector:
        """The next integers below."""
        return self._intrinsic(f"llvm.floor.v{x.lanes}f32", x)

    def convert(self, x: Vector, dtype: DType) -> Vector:
        """The same numbers in another type; floats, which must fit, lose what is behind the point."""
        if x.dtype is dtype:
            return x
        builder, type = self.builder, ir.VectorType(_ELEMENTS[dtype], x.lanes)
        if x.dtype.is_float:
            value = (builder.fptosi if dtype.is_signed else builder.fptoui)(x.value, type)
        elif dtype.is_float:
            value = (builder.sitofp if x.dtype.is_signed else builder.uitofp)(x.value, type)
        elif dtype.bytes < x.dtype.bytes:
            value = builder.trunc(x.value, type)
        elif dtype.bytes == x.dtype.bytes:
            value = x.value
        else:
            value = (builder.sext if x.dtype.is_signed else builder.zext)(x.value, type)
        return Vector(self, value, dtype)

    def narrow(self, a: Vector, b: Vector, dtype: DType) -> Vector:
        """Signed integers in half the width, saturated: every 16 bytes are those of a's 16, then b's."""
        if self.isa.architecture == "aarch64":
            return self._narrow_on_arm(a, b, dtype)
        name = f"pack{'s' if dtype.is_signed else 'u'}s{'dw' if dtype.bytes == 2 else 'wb'}"
        name = {16: f"sse2.{name}.128", 32: f"avx2.{name}", 64: f"avx512.{name}.512"}[a.lanes * a.dtype.bytes]
        type = ir.VectorType(_ELEMENTS[dtype], 2 * a.lanes)
        function = self.declare(f"llvm.x86.{name}", ir.FunctionType(type, [a.value.type] * 2))
        return Vector(self, self.builder.call(function, [a.value, b.value]), dtype)

    def _narrow_on_arm(self, a: Vector, b: Vector, dtype: DType) -> Vector:
        lanes, bits = a.lanes, 8 * dtype.bytes
        type = ir.VectorType(_ELEMENTS[dtype], lanes)
        name = f"llvm.aarch64.neon.sqxt{'n' if dtype.is_signed else 'un'}.v{lanes}i{bits}"
        function = self.declare(name, ir.FunctionType(type, [a.value.type]))
        low, high = (Vector(self, self.builder.call(function, [x.value]), dtype) for x in (a, b))
        return self.shuffle(low, high, range(2 * lanes))

    def add_saturated(self, a: Vector, b: Vector) -> Vector:
        """Sums of signed integers, at the end of the range where they exceed it."""
        return self._intrinsic(f"llvm.sadd.sat.v{a.lanes}i{8 * a.dtype.bytes}", a, b)

    def bits(self, x: Vector, dtype: DType) -> Vector:
        """The same bits as another type; lanes change with the width of the elements."""
        lanes = x.lanes * x.dtype.bytes // dtype.bytes
        return Vector(self, self.builder.bitcast(x.value, ir.VectorType(_ELEMENTS[dtype], lanes)), dtype)

    def prefetch(self, pointer: Pointer, *, level: int = 3) -> None:
        """Ask for the line of an address, 3 for the nearest cache, 1 for the farthest; it need not be readable."""
        function = self.declare("llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [_ADDRESS, _I32, _I32, _I32]))
        self.builder.call(function, [pointer.address, *(ir.Constant(_I32, v) for v in (0, level, 1))])

    def touch(self, pointer: Pointer) -> None:
        """Read an element for nothing but that its line of memory comes near, after those that were touched before."""
        # LLVM leaves a read alone that others may order their own by; it is a load like any other
        self.builder.load_atomic(
            pointer.address, "monotonic", pointer.dtype.bytes, typ=ir.IntType(8 * pointer.dtype.bytes)
        )

    def _intrinsic(self, name: str, *operands: Vector) -> Vector:
        type = operands[0].value.type
        function = self.declare(name, ir.FunctionType(type, [type] * len(operands)))
        return Vector(self, self.builder.call(function, [v.value for v in operands]), operands[0].dtype)

    def declare(self, name: str, type: Any) -> Any:
        """An intrinsic of LLVM by its name."""
        known = self.builder.module.globals.get(name)
        return ir.Function(self.builder.module, type, name) if known is None else known
