"""What lowering makes of a graph: the calls in order, the kernels they need, the weights they read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tvm import relax

from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.memory import ALIGNMENT
from nascompiler.ir.types import Array, TensorType

LEFTOVER = "tvm_"
"""How the symbols of what TVM fuses and schedules begin; those of our own templates begin with the op."""


def bindings(function: Any) -> Iterator[tuple[Any, Any]]:
    """The variables of a function of Relax and their values, in order."""
    for block in function.body.blocks:
        for binding in block.bindings:
            yield binding.var, binding.value


def result_types(types: Iterable[Any]) -> list[Any]:
    """The types of the arrays that a call writes, of its `ty_args`."""
    return [part for type in types for part in (type.fields if isinstance(type, relax.TupleType) else [type])]


def follow(
    function: Any,
    given: Iterable[Any],
    reshape: Callable[[Any, tuple[int, ...]], Any],
    call: Callable[[str, list[Any], list[Any]], Sequence[Any]],
) -> Any:
    """Go through a function that calls kernels, with something that stands for each of its arrays.

    `given` has what stands for the parameters, the last one a sequence. `reshape` makes of an array one of another
    shape; `call(symbol, arguments, types)` gets arrays and numbers, and gives the arrays of these types that a kernel
    writes. Returns those of the outputs.
    """
    values = dict(zip(function.params, given, strict=True))
    for variable, value in bindings(function):
        if isinstance(value, relax.Tuple):
            values[variable] = [values[field] for field in value.fields]
        elif isinstance(value, relax.TupleGetItem):
            values[variable] = values[value.tuple_value][value.index]
        elif isinstance(value, relax.Var):
            values[variable] = values[value]
        elif str(value.op.name) == "relax.reshape":
            values[variable] = reshape(values[value.args[0]], tuple(int(size) for size in value.args[1]))
        else:
            arguments = [values[a] if isinstance(a, relax.Var) else int(a.value) for a in value.args[1].fields]
            written = call(str(value.args[0].global_symbol), arguments, result_types(value.ty_args))
            values[variable] = written[0] if len(written) == 1 else written
    return values[function.body.body]


@dataclass(frozen=True)
class Call:
    """One kernel call of the program: the symbol called, the nodes of ours that it computes, and by which variant."""

    symbol: str
    nodes: tuple[str, ...]
    ops: tuple[str, ...]
    variant: str = "tvm"


@dataclass
class Weights:
    """The constants a program reads, each once, in order of first use."""

    arrays: list[Array] = field(default_factory=list)
    _seen: dict[tuple[str, tuple[int, ...], bytes], int] = field(default_factory=dict)

    def add(self, array: Array) -> int:
        """The number of an array in the blob; the same content is stored once."""
        array = np.ascontiguousarray(array)
        key = (str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).digest())
        if key not in self._seen:
            self._seen[key] = len(self.arrays)
            self.arrays.append(array)
        return self._seen[key]

    @property
    def offsets(self) -> tuple[list[int], int]:
        """Where each array is in the blob, at a multiple of 64 bytes, and the size of the blob in bytes."""
        found, end = [], 0
        for array in self.arrays:
            found.append(-(-end // ALIGNMENT) * ALIGNMENT)
            end = found[-1] + array.nbytes
        return found, end

    @property
    def types(self) -> list[TensorType]:
        """The type of each array."""
        return [TensorType.of(array) for array in self.arrays]


@dataclass
class Lowered:
    """A program in Relax that only calls kernels by name."""

    module: Any
    """A TVM module with the function `main(inputs..., weights tuple)` that returns the tuple of outputs."""
    kernels: dict[str, Callable[[], Any]]
    """By symbol, what generates the PrimFunc; asked only when its object is not cached."""
    objects: dict[str, Kernel]
    """By symbol, the kernels that PrimFuncs call."""
    weights: Weights
    calls: list[Call]
    external: list[Any] = field(default_factory=list)
    """Modules of TVM's that other compilers have made for parts of the program."""
