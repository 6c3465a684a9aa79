"""From exact int32 sums to results, in registers: the float32 steps of docs/integers.md, each rounded by itself.

Nothing here may become a fused multiply-add: products and sums are emitted apart, and LLVM contracts only what asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.kernels.activation import clip
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.ir.types import Array, DType

_MAGIC = 1.5 * 2**23
"""Added to a float below 2 ** 22 it rounds it to the nearest integer, halves to the even one, in the low bits."""
_MAGIC_BITS = int(np.asarray(_MAGIC, np.float32).view(np.int32))
SMALL_SUMS = 2**22
"""Integers of a smaller size, added to the bits of _MAGIC, give the bits of their sum with it."""


def lifted(offsets: Array) -> Array:
    """What small sums begin with in place of their offsets [channels], int32."""
    made: Array = offsets + np.asarray(_MAGIC_BITS, np.int32)
    return made


SMALL_RESULTS = 2**15 - 2**8
"""Numbers of a smaller size, added to _MAGIC and a zero point of 8 bits, have their integer in the low 16 bits."""
_MOST = float(2**30)
_SIXTH = float(np.float32(1 / 6))


@dataclass(frozen=True)
class Requantization:
    """What a kernel makes of its sums: the type of the result, float32 or of at most 16 bits, and the activation.

    relu and relu6 of integers are limits, which arrive as sizes: their activation is "none" here. `bounded` promises
    that no scaled sum exceeds 32 bits, which saves an instruction in five. `small` promises that no sum reaches
    SMALL_SUMS, and no number that is rounded SMALL_RESULTS, and that sums begin with `lifted` offsets: then they are
    float32 numbers already, but for a constant, and rounded ones are integers of 16 bits, but for what stands above.
    Two more promises count where sums are small and results are packed: `even` says that the zero point is, `whole`
    that the limits are those of the type.
    """

    dtype: DType
    activation: str = "none"
    bounded: bool = False
    small: bool = False
    even: bool = False
    whole: bool = False

    def __str__(self) -> str:
        promises = "".join(f"_{name}" for name in ("bounded", "small", "even", "whole") if getattr(self, name))
        return f"{self.dtype}_{self.activation}".removesuffix("_none") + promises

    def real(self, e: Emitter, sums: Vector) -> Vector:
        """Sums as float32; those that are small need no conversion, which is slow."""
        return e.bits(sums, DType.F32) - _MAGIC if self.small else e.convert(sums, DType.F32)

    @property
    def pointers(self) -> Mapping[str, DType]:
        """The arrays that are read: scale [channels], and inverse_scale [1], 1 / the result's scale."""
        is_real_first = self.activation != "none" and not self.dtype.is_float
        return dict.fromkeys(["scale", *["inverse_scale"] * is_real_first], DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        """The result's zero point and limits."""
        return () if self.dtype.is_float else ("zero_point", "low", "high")

    def prepare_best(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]
    ) -> Requantizer | PackedRequantizer:
        """Emit what all sums share, for whichever way is the fastest for full vectors of them."""
        if self.dtype.bytes == 1:
            return self.prepare_packed(e, p, n)
        return self.prepare(e, p, n, e.isa.lanes)

    def prepare(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], lanes: int) -> Requantizer:
        """Emit what all sums share."""
        if self.dtype.is_float:
            return Requantizer(e, self, lanes)
        low, high = (e.convert(e.splat_index(n[name] - n["zero_point"], lanes), DType.F32) for name in ("low", "high"))
        inverse = e.broadcast(p["inverse_scale"], lanes) if "inverse_scale" in self.pointers else None
        offset = e.splat_index(n["zero_point"] - _MAGIC_BITS, lanes)
        return Requantizer(e, self, lanes, low, high, offset, inverse)

    def prepare_packed(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> PackedRequantizer:
        """The same for results of 8 bits made four full vectors at a time."""
        lanes = e.isa.lanes
        inverse = e.broadcast(p["inverse_scale"], lanes) if "inverse_scale" in self.pointers else None
        magic = e.constant(_MAGIC, lanes)
        if self.small and self.even:  # halves go to the same integers as without it
            magic = magic + e.convert(e.splat_index(n["zero_point"], lanes), DType.F32)
        zero_point = e.bits(e.splat_index((n["zero_point"] + 0x10000) % 0x10000 * 0x10001, lanes), DType.I16)
        low, high = (
            e.bits(e.splat_index((n[name] + 0x100) % 0x100 * 0x1010101, lanes), self.dtype) for name in ("low", "high")
        )
        return PackedRequantizer(e, self, low, high, zero_point, magic, inverse)


@dataclass(frozen=True)
class Requantizer:
    """Emits the results of sums."""

    emitter: Emitter
    kind: Requantization
    lanes: int
    low: Vector | None = None
    high: Vector | None = None
    offset: Vector | None = None
    inverse_scale: Vector | None = None

    def __call__(self, sums: Vector, scale: Vector) -> Vector:
        """The results of int32 sums, with the scales of their channels, in the result's type."""
        real = self.kind.real(self.emitter, sums) * scale
        if self.kind.dtype.is_float:
            return activate(self.emitter, real, self.kind.activation)
        if self.inverse_scale is not None:
            real = activate(self.emitter, real, self.kind.activation) * self.inverse_scale
        return self.round(real)

    def each(self, sums: Sequence[Vector], scales: Sequence[Vector]) -> list[Vector]:
        """The results of each vector of sums."""
        return [self(total, scale) for total, scale in zip(sums, scales, strict=True)]

    def round(self, f: Vector) -> Vector:
        """clamp(rint(f) + zero_point, low, high), clamped first, which is the same, in the result's type."""
        e = self.emitter
        assert self.low is not None
        assert self.high is not None
        assert self.offset is not None
        clamped = e.at_most(e.at_least(f, self.low), self.high)
        return e.convert(e.bits(clamped + _MAGIC, DType.I32) + self.offset, self.kind.dtype)


@dataclass(frozen=True)
class PackedRequantizer:
    """Emits bytes, four full vectors at a time, by the instructions that narrow and saturate."""

    emitter: Emitter
    kind: Requantization
    low: Vector
    high: Vector
    zero_point: Vector
    magic: Vector
    inverse_scale: Vector | None = None

    def __call__(self, sums: Sequence[Vector], scales: Sequence[Vector]) -> Vector:
        """The results of four vectors of sums: every 16 bytes are four of the first vector, four of the second, ..."""
        e, real = self.emitter, []
        for total, scale in zip(sums, scales, strict=True):
            x = self.kind.real(e, total) * scale
            if self.inverse_scale is not None:
                x = activate(e, x, self.kind.activation) * self.inverse_scale
            real.append(x)
        return self.round(real)

    def round(self, f: Sequence[Vector]) -> Vector:
        """clamp(rint(f) + zero_point, low, high) of four vectors, the bytes in the order of a call.

        What is below all integers is converted to the lowest, which is right; so is what is above on x86, hence the
        bound unless nothing is.
        """
        e = self.emitter
        if self.kind.small:
            low = [e.bits(x + self.magic, DType.I16) for x in f]
            even = range(0, 2 * low[0].lanes, 2)
            first, second = e.shuffle(low[0], low[1], even), e.shuffle(low[2], low[3], even)
            if not self.kind.even:
                first, second = (e.add_saturated(half, self.zero_point) for half in (first, second))
            narrow = e.narrow(first, second, self.kind.dtype)
            return narrow if self.kind.whole else e.at_most(e.at_least(narrow, self.low), self.high)
        bound = e.constant(_MOST, e.isa.lanes)
        fits = self.kind.bounded or e.isa.architecture == "aarch64"
        integers = [e.round_to_integer(x if fits else e.select(x.less(bound), x, bound)) for x in f]
        first, second = (
            e.add_saturated(e.narrow(a, b, DType.I16), self.zero_point) for a, b in (integers[:2], integers[2:])
        )
        return e.at_most(e.at_least(e.narrow(first, second, self.kind.dtype), self.low), self.high)

    def in_order(self, packed: Vector) -> Vector:
        """The bytes of a call with those of each vector together."""
        e, quads = self.emitter, self.emitter.bits(packed, DType.I32)
        lanes = quads.lanes
        if lanes == 4:
            return packed
        places = [4 * i + vector for vector in range(4) for i in range(lanes // 4)]
        return e.bits(e.opaque(e.shuffle(quads, quads, places)), self.kind.dtype)

    def each(self, sums: Sequence[Vector], scales: Sequence[Vector]) -> list[Vector]:
        """The results of each vector of sums."""
        e, made, last = self.emitter, [], len(sums) - 1
        for start in range(0, len(sums), 4):
            four = [min(start + i, last) for i in range(4)]
            ordered = self.in_order(self([sums[i] for i in four], [scales[i] for i in four]))
            lanes = ordered.lanes // 4
            made += [e.part(ordered, i * lanes, lanes) for i in range(min(4, len(sums) - start))]
        return made


def round_block(
    e: Emitter, kind: Requantization, p: Mapping[str, Pointer], n: Mapping[str, Index], size: int
) -> Callable[[Sequence[Vector]], Vector]:
    """What makes `size` results of 8 bits from float32 numbers, four full vectors or a single one of any length."""
    if size == 4 * e.isa.lanes:
        packed = kind.prepare_packed(e, p, n)
        return lambda f: packed.in_order(packed.round(f))
    single = kind.prepare(e, p, n, size)
    return lambda f: single.round(f[0])


def activate(e: Emitter, x: Vector, activation: str) -> Vector:
    """An activation in float32, step by step, as `arithmetic.activate` of the qnn dialect."""
    if activation == "none":
        return x
    if activation in ("relu", "relu6"):
        return clip(e, x, 0, 6 if activation == "relu6" else float("inf"))
    gate = clip(e, x * _SIXTH + 0.5, 0, 1)
    return gate if activation == "hard_sigmoid" else x * gate
