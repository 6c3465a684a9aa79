"""The instructions: one record of 16 bytes for all, and what each opcode makes of its fields.

`docs/tpu-isa.md` is the manual. The opcodes up to HLT are those of Jouppi et al. 2017, section 2 (with parameters,
which the paper does not describe, fetched by RDP); POL is its pooling; VEC and DWC are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORD = np.dtype(
    [
        ("opcode", "u1"),
        ("flags", "u1"),
        ("short", "<u2"),
        ("word", "<u4"),
        ("length", "<u2"),
        ("lanes", "<u2"),
        ("extension", "<u4"),
    ]
)
"""An instruction as it lies in memory: 16 bytes, little-endian."""

Records = NDArray[Any]
"""An array of `RECORD`."""

DRAM_UNIT = 64
"""Bytes that an address of weight memory or of host memory counts: a burst of DRAM."""


class Opcode(IntEnum):
    """What an instruction does. Zero is no opcode, so that blank memory is not a program."""

    NOP = 1
    HLT = 2
    SYNC = 3
    SYNC_HOST = 4
    IRQ = 5
    DBG = 6
    CFG = 7
    RHM = 8
    RHM_ALT = 9
    WHM = 10
    WHM_ALT = 11
    RDW = 12
    RDP = 13
    MMC = 14
    ACT = 15
    POL = 16
    VEC = 17
    DWC = 18


class Unit(IntEnum):
    """The four units that work side by side, and the issue stage, which only hands out."""

    HOST = 0
    WEIGHT = 1
    MATRIX = 2
    ACTIVATION = 3
    ISSUE = 4


class RdwFlag(IntFlag):
    """Flags of RDW: fetch only the used rows and columns; weights of 16 bits."""

    PARTIAL = 1
    WIDE = 2


class MmcFlag(IntFlag):
    """Flags of MMC. Activations are signed bytes and weights signed bytes unless a flag says otherwise."""

    NEW_TILE = 1
    ACCUMULATE = 2
    CONVOLVE = 4
    UNSIGNED = 8
    WIDE_ACTIVATIONS = 16
    WIDE_WEIGHTS = 32


class ActFlag(IntFlag):
    """Flags of ACT, POL, VEC and DWC."""

    SCATTER = 1
    TABLE = 2
    AVERAGE = 4
    COUNT_PADDING = 8


class VecFunction(IntEnum):
    """What VEC computes: copies and requantised copies of one tensor; sums and products of two."""

    COPY = 0
    REQUANTIZE = 1
    ADD = 2
    MULTIPLY = 3


class Function(IntEnum):
    """What follows a sum in float32 before it is rounded: the value of register A_FUNCTION."""

    LINEAR = 0
    HARD_SWISH = 1
    HARD_SIGMOID = 2
    RELU = 3
    RELU6 = 4


class ElementType(IntEnum):
    """Types of elements in the Unified Buffer, as registers spell them."""

    I8 = 0
    U8 = 1
    I16 = 2
    U16 = 3
    F32 = 4


ELEMENT_BYTES = (1, 1, 2, 2, 4)
"""Bytes of an element, by `ElementType`."""

ELEMENTWISE = "elementwise"
PARTIAL_TILES = "partial-tiles"
DEPTHWISE = "depthwise"
EXTENSIONS = (ELEMENTWISE, PARTIAL_TILES, DEPTHWISE)
"""Features that the paper names no instruction for; a machine has them where its data say so."""


@dataclass(frozen=True)
class Form:
    """How an opcode uses the record: its unit, the fields it reads by their names in assembler, its flags.

    A field is spelled as in `RECORD`; `count` is `length` and `lanes` together, a number of 32 bits. Fields that are
    not listed must be zero.
    """

    unit: Unit
    operands: Mapping[str, str] = field(default_factory=dict)
    flags: type[IntFlag] | None = None
    allowed_flags: int = 0


_STORE = int(ActFlag.SCATTER | ActFlag.TABLE)
FORMS: Mapping[Opcode, Form] = {
    Opcode.NOP: Form(Unit.ISSUE),
    Opcode.HLT: Form(Unit.ISSUE),
    Opcode.SYNC: Form(Unit.ISSUE, {"waiter": "short", "producer": "length", "lag": "extension"}),
    Opcode.SYNC_HOST: Form(Unit.HOST),
    Opcode.IRQ: Form(Unit.HOST),
    Opcode.DBG: Form(Unit.ISSUE, {"tag": "extension"}),
    Opcode.CFG: Form(Unit.ISSUE, {"register": "short", "first": "word", "second": "count", "third": "extension"}),
    Opcode.RHM: Form(Unit.HOST, {"buffer": "word", "bytes": "count", "host": "extension"}),
    Opcode.RHM_ALT: Form(Unit.HOST, {"buffer": "word", "rows": "length", "row_bytes": "lanes", "host": "extension"}),
    Opcode.WHM: Form(Unit.HOST, {"buffer": "word", "bytes": "count", "host": "extension"}),
    Opcode.WHM_ALT: Form(Unit.HOST, {"buffer": "word", "rows": "length", "row_bytes": "lanes", "host": "extension"}),
    Opcode.RDW: Form(
        Unit.WEIGHT,
        {"tiles": "short", "used": "word", "useful": "count", "dram": "extension"},
        RdwFlag,
        int(RdwFlag.PARTIAL | RdwFlag.WIDE),
    ),
    Opcode.RDP: Form(Unit.WEIGHT, {"parameter": "word", "bytes": "count", "dram": "extension"}),
    Opcode.MMC: Form(
        Unit.MATRIX,
        {
            "accumulator": "short",
            "buffer": "word",
            "length": "length",
            "first_element": "lanes",
            "position": "extension",
        },
        MmcFlag,
        63,
    ),
    Opcode.ACT: Form(
        Unit.ACTIVATION,
        {"accumulator": "short", "buffer": "word", "length": "length", "lanes": "lanes", "position": "extension"},
        ActFlag,
        _STORE,
    ),
    Opcode.POL: Form(
        Unit.ACTIVATION,
        {"buffer": "word", "length": "length", "lanes": "lanes", "position": "extension"},
        ActFlag,
        int(ActFlag.TABLE | ActFlag.AVERAGE | ActFlag.COUNT_PADDING),
    ),
    Opcode.VEC: Form(
        Unit.ACTIVATION,
        {"function": "short", "buffer": "word", "length": "length", "lanes": "lanes", "source": "extension"},
        ActFlag,
        int(ActFlag.TABLE),
    ),
    Opcode.DWC: Form(
        Unit.ACTIVATION,
        {"buffer": "word", "length": "length", "lanes": "lanes", "position": "extension"},
        ActFlag,
        int(ActFlag.TABLE),
    ),
}
