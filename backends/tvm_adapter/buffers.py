"""The arrays of a program and the kernel calls that read and write them, as runs see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from tvm import relax

from nascompiler.backends.cpu.implementation import WRITTEN
from nascompiler.backends.kernels.kernel import Kernel


@dataclass(eq=False)
class Buffer:
    """An array of the program, whatever views of it there are.

    `run` is the number of the run that makes it, or `weight` its number among the weights; `variable` stands for it in
    the new program as soon as it is there.
    """

    shape: tuple[int, ...]
    dtype: str
    run: int | None = None
    weight: int | None = None
    variable: Any = None

    @classmethod
    def of(cls, type: Any, **more: Any) -> Buffer:
        return cls(tuple(int(size) for size in type.shape), str(type.dtype), **more)

    @property
    def type(self) -> Any:
        return relax.TensorType(self.shape, self.dtype)

    @property
    def bytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def is_image(self) -> bool:
        """Whether it is one image, [1, height, width, channels]."""
        return len(self.shape) == 4 and self.shape[0] == 1

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of an image."""
        return self.bytes // self.shape[1]


View = tuple[Buffer, tuple[int, ...]]
"""An array in some shape."""


@dataclass(frozen=True)
class KernelStep:
    """A call of a kernel in a run: the arrays it reads, in order, its sizes, its chunks, the arrays it writes.

    `number` is its place among the calls of the run.
    """

    run: int
    number: int
    kernel: Kernel
    read: tuple[View, ...]
    sizes: tuple[int, ...]
    chunks: int
    written: tuple[Buffer, ...]

    @cached_property
    def pointers(self) -> Mapping[str, View]:
        """The arrays by the names of the kernel's pointers."""
        arrays = {False: iter(self.read), True: iter([(array, array.shape) for array in self.written])}
        return {name: next(arrays[name in WRITTEN]) for name in self.kernel.pointers}

    @property
    def named_sizes(self) -> Mapping[str, int]:
        """The sizes by name."""
        return dict(zip(self.kernel.sizes, self.sizes, strict=True))
