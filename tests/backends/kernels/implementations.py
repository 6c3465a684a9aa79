"""Runs implementations of kernel calls from Python, every chunk by itself, with canaries around all that is written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from nascompiler.backends.cpu.implementation import WRITTEN, Implementation
from nascompiler.backends.kernels.numba_object import jit
from nascompiler.ir.types import Array, TensorType

_CANARY = 64
"""Bytes on either side of an array that a kernel must leave alone."""

compiled = lru_cache(maxsize=None)(jit)


def run_implementation(
    made: Implementation, operands: Mapping[int, Array], results: Mapping[str, TensorType], chunks: int | None = None
) -> dict[str, Array]:
    """What a call writes, by the name of the pointer; `operands` by index, with its constants.

    The chunks run last first. Results are NaN, or the largest number, before.
    """
    kernel, chunks = made.kernel, chunks or made.chunks
    constants = {i: a for i, a in operands.items() if i not in made.operands.values()}
    read = {name: np.ascontiguousarray(operands[i]) for name, i in made.operands.items()}
    read |= {name: np.ascontiguousarray(a) for name, a in made.constants(constants).items()}
    written = {}
    for name, dtype in kernel.pointers.items():
        if name in WRITTEN:
            shape = results[name].static_shape if name in results else (made.workspace,)
            written[name] = _guarded(shape, np.dtype(dtype.numpy))
        else:
            assert read[name].dtype == dtype.numpy, (name, read[name].dtype)
    addresses = [(written[n][1] if n in written else read[n]).ctypes.data for n in kernel.pointers]
    function = compiled(kernel)
    for chunk in reversed(range(chunks)):
        function(*addresses, *made.sizes.values(), chunk, chunks)
    for name, (memory, _) in written.items():
        around = np.concatenate([memory[:_CANARY], memory[-_CANARY:]])
        assert (around == 0xA5).all(), f"{kernel} writes past {name}"
    return {name: array for name, (_, array) in written.items() if name != "workspace"}


def _guarded(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    size = int(np.prod(shape)) * dtype.itemsize
    memory = np.full(size + 2 * _CANARY, 0xA5, np.uint8)
    array = memory[_CANARY : _CANARY + size].view(dtype).reshape(shape)
    array[...] = np.nan if dtype.kind == "f" else np.iinfo(dtype).max
    return memory, array
