"""Arrays that end where memory ends: what reads or writes past them dies at once; what writes before them is found."""

from __future__ import annotations

import ctypes
import mmap
from math import prod

import numpy as np

from nascompiler.ir.types import Array, DType

_CANARY = 0xA5

_libc = ctypes.CDLL(None, use_errno=True)


class Guards:
    """Allocates arrays; `check` tells which of them something was written in front of."""

    def __init__(self) -> None:
        self._maps: list[tuple[mmap.mmap, int, tuple[int, ...]]] = []

    def allocate(self, shape: tuple[int, ...], dtype: DType) -> Array:
        """Zeros that end at a page which cannot be read or written; canaries stand in front."""
        size = prod(shape) * dtype.bytes
        pages = -(-(size + 64) // mmap.PAGESIZE)
        memory = mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE)
        view = np.frombuffer(memory, np.uint8)
        end = pages * mmap.PAGESIZE
        assert _libc.mprotect(ctypes.c_void_p(view.ctypes.data + end), mmap.PAGESIZE, 0) == 0
        view[: end - size] = _CANARY
        self._maps.append((memory, end - size, shape))
        return view[end - size : end].view(dtype.numpy).reshape(shape)

    def check(self) -> None:
        for memory, start, shape in self._maps:
            front = np.frombuffer(memory, np.uint8, start)
            assert (front == _CANARY).all(), f"something was written in front of an array {shape}"
