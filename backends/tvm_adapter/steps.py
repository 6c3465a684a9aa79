"""A lowered program as plain data: the arrays it works on, and the calls in order, for whoever runs it elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nascompiler.backends.cpu.implementation import WRITTEN
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.tvm_adapter.caller import caller_symbol
from nascompiler.backends.tvm_adapter.lowered import Lowered, follow
from nascompiler.ir.types import DType, TensorType

Argument = int | tuple[int, tuple[int, ...]]
"""A number, or (array, shape): an array of the program in some shape."""


@dataclass(frozen=True)
class Step:
    """A call: of a kernel, with the addresses of arrays and with sizes, or of a function of TVM, with tensors."""

    symbol: str
    is_kernel: bool
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Steps:
    """A program. The arrays come in this order: `inputs` of them, then the weights, then those that are written."""

    arrays: tuple[TensorType, ...]
    inputs: int
    weights: int
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]


def steps_of(lowered: Lowered) -> Steps:
    """The calls of a program on one thread, kernels called directly."""
    return _Reader(lowered).steps()


class _Reader:
    def __init__(self, lowered: Lowered) -> None:
        self._kernels: Mapping[str, Kernel] = {caller_symbol(kernel): kernel for kernel in lowered.objects.values()}
        self._main = lowered.module["main"]
        self._arrays: list[TensorType] = []
        self._weights = len(lowered.weights.arrays)

    def steps(self) -> Steps:
        *inputs, packed = self._main.params
        given = [self._array(variable.ty) for variable in inputs]
        weights = [self._array(part) for part in packed.ty.fields]
        steps = []

        def call(symbol: str, arguments: list[Argument], types: list[Any]) -> list[tuple[int, tuple[int, ...]]]:
            written = [self._array(type) for type in types]
            steps.append(self._step(symbol, arguments, written))
            return written

        outputs = follow(self._main, [*given, weights], lambda array, shape: (array[0], shape), call)
        return Steps(
            tuple(self._arrays), len(inputs), self._weights, tuple(steps), tuple(array for array, _ in outputs)
        )

    def _array(self, type: Any) -> tuple[int, tuple[int, ...]]:
        shape = tuple(int(size) for size in type.shape)
        self._arrays.append(TensorType(shape, DType.of(str(type.dtype))))
        return len(self._arrays) - 1, shape

    def _step(self, symbol: str, given: list[Argument], written: list[tuple[int, tuple[int, ...]]]) -> Step:
        kernel = self._kernels.get(symbol)
        if kernel is None:
            return Step(symbol, False, (*given, *written))
        arrays = {False: iter([a for a in given if isinstance(a, tuple)]), True: iter(written)}
        pointers = [next(arrays[name in WRITTEN]) for name in kernel.pointers]
        *sizes, _ = (a for a in given if isinstance(a, int))
        return Step(kernel.symbol, True, (*pointers, *sizes, 0, 1))
