"""An implementation of a kernel call with arrays of its own, to be run in this process: to check it, and to time it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nascompiler.backends.cpu.implementation import WRITTEN, Implementation
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.native import Function
from nascompiler.backends.memory import aligned
from nascompiler.ir.types import Array, DType

Allocate = Callable[[tuple[int, ...], DType], Array]


class Bound:
    """Arrays for a call: copies of the given operands, packed constants, results and workspace.

    `operands` are all operands of the call by index; those in `constants` are weights, which are packed. Calling it
    computes the whole, chunk by chunk, in `order` of the chunks if one is given; the results are in `results`.
    """

    def __init__(
        self,
        made: Implementation,
        call: KernelCall,
        function: Function,
        operands: Mapping[int, Array],
        constants: Mapping[int, Array],
        *,
        allocate: Allocate = aligned,
    ) -> None:
        kernel = made.kernel
        packed = made.constants(constants)
        self.arrays: dict[str, Array] = {}
        results = iter(call.results)
        for name, dtype in kernel.pointers.items():
            if name in made.operands:
                self.arrays[name] = _copy(operands[made.operands[name]], allocate)
            elif name in packed:
                self.arrays[name] = _copy(np.asarray(packed[name]), allocate)
            elif name == "workspace":
                self.arrays[name] = allocate((made.workspace,), dtype)
            else:
                self.arrays[name] = allocate(next(results).static_shape, dtype)
        self.results = [self.arrays[name] for name in kernel.pointers if name in WRITTEN and name != "workspace"]
        self._arguments = [*(array.ctypes.data for array in self.arrays.values()), *made.sizes.values()]
        self._function, self.chunks = function, made.chunks

    def __call__(self, order: range | None = None) -> None:
        for chunk in range(self.chunks) if order is None else order:
            self._function(*self._arguments, chunk, self.chunks)


def _copy(array: Array, allocate: Allocate) -> Array:
    copy = allocate(array.shape, DType.of(array.dtype))
    copy[...] = array
    return copy
