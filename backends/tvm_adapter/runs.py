"""Straight runs of kernel calls as one call each: what TVM's virtual machine does around a call takes a microsecond.

What only the kernels of a run read lies in one block of memory, at places planned here. Weights are parts of one array
but for those that something else reads: TVM's functions take no part of an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from tvm import relax

from nascompiler.backends.cpu.implementation import WRITTEN
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.tvm_adapter.arena import Need, plan
from nascompiler.backends.tvm_adapter.caller import caller_symbol
from nascompiler.backends.tvm_adapter.lowered import Lowered
from nascompiler.backends.tvm_adapter.run_code import Run, Step
from nascompiler.backends.tvm_runtime.program import RUN

_BYTES = "uint8"


@dataclass(eq=False)
class _Array:
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
    def of(cls, type: Any, **more: Any) -> _Array:
        return cls(tuple(int(size) for size in type.shape), str(type.dtype), **more)

    @property
    def type(self) -> Any:
        return relax.TensorType(self.shape, self.dtype)

    @property
    def bytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Call:
    """A call of a kernel in a run: the arrays it reads, in order, its sizes, its chunks, the arrays it writes."""

    run: int
    kernel: Kernel
    read: tuple[_Array, ...]
    sizes: tuple[int, ...]
    chunks: int
    written: tuple[_Array, ...]


@dataclass(frozen=True)
class _Other:
    """A call of something else, with arguments that are arrays in some shape, or numbers."""

    symbol: str
    arguments: tuple[Any, ...]
    written: tuple[_Array, ...]


_View = tuple[_Array, tuple[int, ...]]
"""An array in some shape."""


@dataclass(frozen=True)
class Program:
    """A module with a function `main(inputs..., blob, some weights...)` that calls runs, and the runs by name.

    The blob is the array of bytes that has each weight at the offset that `Weights.offsets` says. Behind it come the
    weights, by number, that are read by something else than runs.
    """

    module: Any
    runs: Mapping[str, Run]
    weights: tuple[int, ...]


def with_runs(lowered: Lowered) -> Program:
    """The program with calls of runs in the place of kernel calls."""
    return _Runs(lowered).program()


class _Runs:
    def __init__(self, lowered: Lowered) -> None:
        self.kernels = {caller_symbol(kernel): kernel for kernel in lowered.objects.values()}
        self.offsets, size = lowered.weights.offsets
        self.blob = _Array((size,), _BYTES, variable=relax.Var("blob", relax.TensorType((size,), _BYTES)))
        self.builder = relax.BlockBuilder()
        self.runs: dict[str, Run] = {}
        self.items: list[_Call | _Other] = []
        self.outputs: list[_View] = []
        self._read(lowered)
        self.shared = self._shared()

    def _read(self, lowered: Lowered) -> None:
        """Collect the calls, in order, with the arrays behind all variables."""
        main = lowered.module["main"]
        *self.inputs, packed = main.params
        views: dict[Any, Any] = {v: _view(_Array.of(v.ty, variable=v)) for v in self.inputs}
        views[packed] = [_view(_Array.of(part, weight=i)) for i, part in enumerate(packed.ty.fields)]
        run = 0
        for variable, value in ((b.var, b.value) for block in main.body.blocks for b in block.bindings):
            if isinstance(value, relax.Tuple):
                views[variable] = [views[field] for field in value.fields]
            elif isinstance(value, relax.TupleGetItem):
                views[variable] = views[value.tuple_value][value.index]
            elif isinstance(value, relax.Var):
                views[variable] = views[value]
            elif str(value.op.name) == "relax.reshape":
                views[variable] = views[value.args[0]][0], tuple(int(size) for size in value.args[1])
            else:
                symbol = str(value.args[0].global_symbol)
                kernel = self.kernels.get(symbol)
                types = [p for t in value.ty_args for p in (t.fields if isinstance(t, relax.TupleType) else [t])]
                given = [views[a] if isinstance(a, relax.Var) else int(a.value) for a in value.args[1].fields]
                if kernel is None:
                    run += 1
                    written = tuple(_Array.of(type) for type in types)
                    self.items.append(_Other(symbol, tuple(given), written))
                else:
                    written = tuple(_Array.of(type, run=run) for type in types)
                    read = tuple(a[0] for a in given if isinstance(a, tuple))
                    *sizes, chunks = (a for a in given if isinstance(a, int))
                    self.items.append(_Call(run, kernel, read, tuple(sizes), chunks, written))
                views[variable] = _view(written[0]) if len(written) == 1 else [_view(array) for array in written]
        self.outputs = views[main.body.body]

    def _shared(self) -> set[_Array]:
        """The arrays that are read outside of the run that makes them."""
        found = {array for array, _ in self.outputs}
        for item in self.items:
            if isinstance(item, _Other):
                found |= {a[0] for a in item.arguments if isinstance(a, tuple)}
            else:
                found |= {array for array in item.read if array.run not in (None, item.run)}
        return found

    def program(self) -> Program:
        """The new program."""
        weights = {array.weight: array for array in self.shared if array.weight is not None}
        alone = [weights[number] for number in sorted(weights)]
        for array in alone:
            array.variable = relax.Var(f"weight{array.weight}", array.type)
        with self.builder.function("main", [*self.inputs, self.blob.variable, *(array.variable for array in alone)]):
            with self.builder.dataflow():
                calls: list[_Call] = []
                for item in self.items:
                    if isinstance(item, _Call):
                        calls.append(item)
                        continue
                    self._run(calls)
                    calls = []
                    arguments = [self._variable(a) if isinstance(a, tuple) else a for a in item.arguments]
                    self._emit(item.symbol, arguments, item.written)
                self._run(calls)
                result = self.builder.emit_output(relax.Tuple([self._variable(view) for view in self.outputs]))
            self.builder.emit_func_output(result)
        return Program(self.builder.get(), self.runs, tuple(sorted(weights)))

    def _run(self, calls: Sequence[_Call]) -> None:
        """One call for several, if there are any."""
        if not calls:
            return
        number = calls[0].run
        read = dict.fromkeys(a for call in calls for a in call.read if a.run != number and a.weight is None)
        made = dict.fromkeys(a for call in calls for a in call.written)
        given, written = [*read, self.blob], [array for array in made if array in self.shared]
        inner = [array for array in made if array not in self.shared]
        last = {array: i for i, call in enumerate(calls) for array in (*call.written, *call.read)}
        first = {array: i for i, call in enumerate(calls) for array in call.written}
        offsets, size = plan([Need(array.bytes, first[array], last[array]) for array in inner])
        block = [_Array((size,), _BYTES)] if inner else []
        bases = {array: i for i, array in enumerate([*given, *written, *block], start=1)}
        places = {array: (base, 0) for array, base in bases.items()}
        places |= {array: (bases[block[0]], offset) for array, offset in zip(inner, offsets, strict=True)}
        blob = bases[self.blob]

        def step(call: _Call) -> Step:
            arrays = {False: iter(call.read), True: iter(call.written)}
            pointers = [next(arrays[name in WRITTEN]) for name in call.kernel.pointers]
            arguments = [places[a] if a.weight is None else (blob, self.offsets[a.weight]) for a in pointers]
            return Step(call.kernel, (*arguments, *((0, size) for size in call.sizes)), call.chunks)

        name = f"{RUN}{number}"
        self.runs[name] = Run(len(bases), tuple(step(call) for call in calls))
        self._emit(name, [array.variable for array in given], [*written, *block])

    def _emit(self, symbol: str, arguments: Sequence[Any], written: Sequence[_Array]) -> None:
        """A call of a function that writes some arrays."""
        types = [array.type for array in written]
        call = relax.call_dps_packed(symbol, arguments, out_ty=types if len(types) > 1 else types[0])
        result = self.builder.emit(call)
        for index, array in enumerate(written):
            array.variable = result if len(types) == 1 else self.builder.emit(relax.TupleGetItem(result, index))

    def _variable(self, view: _View) -> Any:
        """What stands for an array in some shape."""
        array, shape = view
        if shape == array.shape:
            return array.variable
        return self.builder.emit(relax.op.reshape(array.variable, shape))


def _view(array: _Array) -> _View:
    """An array in its own shape."""
    return array, array.shape
