"""What a processor can do at most: multiply-adds from registers, sums of products of bytes, and reads of memory.

Numbers should be as good as random: with zeros a processor takes less power and has a higher clock (a fifth higher in
products of tiles on Emerald Rapids), which no network sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.dots import Dots
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, AmxTiles
from nascompiler.ir.types import DType

TILE_SUMS = 4
"""Tiles of sums; the other four registers hold what is multiplied."""

SUMS = 12
"""Sums that do not wait for each other: enough for two instructions a cycle of a latency of six."""


@dataclass(frozen=True)
class PeakMultiplyAdd(Kernel):
    """`repeats` times a multiply-add of each of SUMS vectors of float32; x has two vectors, result one."""

    name: ClassVar[str] = "peak_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": DType.F32, "result": DType.F32}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("repeats",)

    @property
    def work(self) -> int:
        """Multiply-adds of one repeat."""
        return SUMS * self.isa.lanes

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = e.isa.lanes
        a, b = e.load(p["x"], lanes), e.load(p["x"] + lanes, lanes)
        start = [b * float(i) for i in range(SUMS)]
        with e.loop(0, n["repeats"], 1, start, unroll=4) as loop:
            loop.values = [e.multiply_add(v, a, b) for v in loop.values]
        _store_sum(e, loop.values, p["result"])


@dataclass(frozen=True)
class PeakDot(Kernel):
    """`repeats` times the instruction set's sum of products of bytes for each of SUMS vectors; x has five vectors."""

    name: ClassVar[str] = "peak_dot"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": DType.I32, "result": DType.I32}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("repeats",)

    @property
    def work(self) -> int:
        """Multiply-adds of one repeat."""
        return SUMS * self.isa.lanes * Dots.of(self.isa).group

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes, dots = e.isa.lanes, Dots.of(e.isa)
        a = e.load(p["x"], lanes)
        start = [e.constant(i, lanes, DType.I32) for i in range(SUMS)]
        others = [e.load(p["x"] + lanes * (1 + i % 4), lanes) for i in range(SUMS)]
        with e.loop(0, n["repeats"], 1, start, unroll=4) as loop:
            loop.values = [_add_products(e, v, a, b, dots) for v, b in zip(loop.values, others, strict=True)]
        _store_sum(e, loop.values, p["result"])


@dataclass(frozen=True)
class PeakTileDot(Kernel):
    """`repeats` times a sum of products of bytes into each of TILE_SUMS tiles.

    x is what configures the registers, and behind it the four tiles that are multiplied.
    """

    name: ClassVar[str] = "peak_tile_dot"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": DType.U8, "result": DType.I32}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("repeats",)

    @property
    def work(self) -> int:
        """Multiply-adds of one repeat."""
        return TILE_SUMS * TILE_ROWS * TILE_ROWS * TILE_BYTES

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        tiles = AmxTiles(e)
        tiles.configure(p["x"])
        for i in range(TILE_SUMS):
            tiles.load(TILE_SUMS + i, p["x"] + TILE_BYTES * (1 + i * TILE_ROWS), TILE_BYTES)
        with e.loop(0, n["repeats"]):
            for i in range(TILE_SUMS):
                tiles.dot(i, TILE_SUMS + i // 2, TILE_SUMS + 2 + i % 2, DType.U8)
        tiles.release()


@dataclass(frozen=True)
class ReadBandwidth(Kernel):
    """Read `size` float32 values of x `repeats` times, vector by vector; size is a multiple of 8 vectors."""

    name: ClassVar[str] = "read"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": DType.F32, "result": DType.F32}

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("size", "repeats")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes, streams = e.isa.lanes, 8
        zero = [e.constant(0, lanes)] * streams
        with e.loop(0, n["repeats"], 1, zero) as again:
            with e.loop(0, n["size"], streams * lanes, again.values, unroll=1) as loop:
                at = p["x"] + loop.index
                loop.values = [v + e.load(at + i * lanes, lanes) for i, v in enumerate(loop.values)]
            again.values = loop.values
        _store_sum(e, again.values, p["result"])


def _add_products(e: Emitter, sums: Vector, a: Vector, b: Vector, dots: Dots) -> Vector:
    if dots.group == 4:
        return e.dot_bytes(sums, a, b)
    return sums + (e.dot_pairs(a, b) if dots.group == 2 else a * b)


def _store_sum(e: Emitter, values: list[Vector], result: Pointer) -> None:
    total = values[0]
    for value in values[1:]:
        total = total + value
    e.store(total, result)
