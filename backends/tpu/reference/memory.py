"""Memories of the literal machine, element by element."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_FORMATS = "bBhHf"
"""struct's letters for the element types i8, u8, i16, u16, f32."""


def load(memory: Bytes, address: int, element_type: int) -> int:
    """One element."""
    letter = "<" + _FORMATS[element_type]
    return int(struct.unpack(letter, memory[address : address + struct.calcsize(letter)].tobytes())[0])


def store(memory: Bytes, address: int, element_type: int, value: int | np.float32) -> None:
    """Write one element."""
    data = struct.pack("<" + _FORMATS[element_type], value)
    memory[address : address + len(data)] = np.frombuffer(data, np.uint8)


def size_of(element_type: int) -> int:
    """Bytes of an element."""
    return struct.calcsize("<" + _FORMATS[element_type])


def float_of(bits: int) -> np.float32:
    """The float32 number with these bits."""
    return np.float32(struct.unpack("<f", struct.pack("<I", bits))[0])


def wrapped(value: int) -> int:
    """A sum in 32 bits, in two's complement."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)
