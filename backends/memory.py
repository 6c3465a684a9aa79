"""Arrays at addresses that vectors like."""

from __future__ import annotations

from math import prod

import numpy as np

from nascompiler.ir.types import Array, DType

ALIGNMENT = 64
"""What TVM and the weights blob give; kernels are right for less."""


def aligned(shape: tuple[int, ...], dtype: DType) -> Array:
    """A new array of zeros that begins at a multiple of 64 bytes."""
    size = prod(shape) * dtype.bytes
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype.numpy).reshape(shape)
