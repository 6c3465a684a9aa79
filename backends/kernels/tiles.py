"""Tile registers (AMX): what kernels say of them, and the instructions behind it.

There are eight, each of 16 rows of 64 bytes once `configure` has read TILES. Kernels write to this interface, so that
tests can put a model of the registers in their place where the processor has none.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from llvmlite import ir

from nascompiler.backends.kernels.emitter import Emitter, Number, Pointer
from nascompiler.ir.types import Array, DType

TILE_ROWS = 16
TILE_BYTES = 64
"""Bytes of a row of a tile."""

_REGISTERS = 8

_PAUSE = 8
"""Instructions that do nothing, two cycles of them. In a core whose other thread uses tiles too, products are faster
with them, by a tenth; in one that is alone they cost nothing, since products take longer than their instructions.
"""


def tile_configuration(rows: Sequence[int] = (TILE_ROWS,) * _REGISTERS) -> Array:
    """The 64 bytes that ldtilecfg reads for eight tiles: palette 1, bytes of a row from 16 on, their rows from 48."""
    made = np.zeros(64, np.uint8)
    made[0] = 1
    made[16 : 16 + 2 * _REGISTERS : 2] = TILE_BYTES
    made[48 : 48 + _REGISTERS] = rows
    return made


class Tiles(Protocol):
    """Emits work on tile registers, which go by number."""

    def configure(self, configuration: Pointer) -> None:
        """Before anything else: eight full tiles, of zeros."""

    def release(self) -> None:
        """At the end: the registers are free, and need not be saved when the thread is switched."""

    def zero(self, tile: int) -> None: ...

    def load(self, tile: int, pointer: Pointer, stride: Number, *, once: bool = False) -> None:
        """Rows of 64 bytes, `stride` bytes apart; `once` when the nearest cache is better kept for other things."""

    def store(self, tile: int, pointer: Pointer, stride: Number) -> None: ...

    def dot(self, sums: int, x: int, weight: int, x_dtype: DType) -> None:
        """sums [16, 16] (i32) += x [16, 64] @ weight [64, 16]; a row of `weight` has four terms of each column."""

    def pause(self) -> None:
        """Leave the processor some cycles between products, where loads come in at once otherwise."""


class AmxTiles:
    """The instructions."""

    def __init__(self, emitter: Emitter) -> None:
        self._e = emitter

    def configure(self, configuration: Pointer) -> None:
        self._call("ldtilecfg", configuration)

    def release(self) -> None:
        self._call("tilerelease")

    def zero(self, tile: int) -> None:
        self._call("tilezero", tile)

    def load(self, tile: int, pointer: Pointer, stride: Number, *, once: bool = False) -> None:
        self._call("tileloaddt164" if once else "tileloadd64", tile, pointer, self._e.index(stride))

    def store(self, tile: int, pointer: Pointer, stride: Number) -> None:
        self._call("tilestored64", tile, pointer, self._e.index(stride))

    def dot(self, sums: int, x: int, weight: int, x_dtype: DType) -> None:
        self._call("tdpbssd" if x_dtype.is_signed else "tdpbusd", sums, x, weight)

    def pause(self) -> None:
        if self._e.isa.architecture == platform.machine():  # LLVM assembles text for this machine's processors only
            self._e.builder.asm(ir.FunctionType(ir.VoidType(), []), ";".join(["nop"] * _PAUSE), "", [], True)

    def _call(self, name: str, *operands: Number | Pointer) -> None:
        byte = ir.IntType(8)
        values = [
            ir.Constant(byte, o) if isinstance(o, int) else o.address if isinstance(o, Pointer) else o.value
            for o in operands
        ]
        type = ir.FunctionType(ir.VoidType(), [v.type for v in values])
        self._e.builder.call(self._e.declare(f"llvm.x86.{name}", type), values)
