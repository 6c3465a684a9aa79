"""Straight runs of kernel calls as one call each: what TVM's virtual machine does around a call takes a microsecond.

What only the kernels of a run read lies in one block of memory, at places planned here. Weights are parts of one array
but for those that something else reads: TVM's functions take no part of an array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax

from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.arena import Block, ChainNumber
from nascompiler.backends.tvm_adapter.buffers import Buffer, KernelStep, View
from nascompiler.backends.tvm_adapter.caller import caller_symbol
from nascompiler.backends.tvm_adapter.lowered import Lowered, follow
from nascompiler.backends.tvm_adapter.run_code import Own, Run, Step
from nascompiler.backends.tvm_adapter.stripes import Piece, groups_of
from nascompiler.backends.tvm_runtime.program import RUN

_BYTES = "uint8"


@dataclass(frozen=True)
class _Other:
    """A call of something else, with arguments that are arrays in some shape, or numbers."""

    symbol: str
    arguments: tuple[Any, ...]
    written: tuple[Buffer, ...]


@dataclass(frozen=True)
class Program:
    """A module with a function `main(inputs..., blob, some weights...)` that calls runs, and the runs by name.

    The blob is the array of bytes that has each weight at the offset that `Weights.offsets` says. Behind it come the
    weights, by number, that are read by something else than runs.
    """

    module: Any
    runs: Mapping[str, Run]
    weights: tuple[int, ...]


def with_runs(lowered: Lowered, target: Target) -> Program:
    """The program with calls of runs in the place of kernel calls."""
    return _Runs(lowered, target).program()


class _Runs:
    def __init__(self, lowered: Lowered, target: Target) -> None:
        self.target = target
        self.kernels = {caller_symbol(kernel): kernel for kernel in lowered.objects.values()}
        self.offsets, size = lowered.weights.offsets
        self.blob = Buffer((size,), _BYTES, variable=relax.Var("blob", relax.TensorType((size,), _BYTES)))
        self.builder = relax.BlockBuilder()
        self.runs: dict[str, Run] = {}
        self.items: list[KernelStep | _Other] = []
        self.outputs: list[View] = []
        self._read(lowered)
        self.shared = self._shared()

    def _read(self, lowered: Lowered) -> None:
        """Collect the calls, in order, with the arrays behind all variables."""
        main = lowered.module["main"]
        *self.inputs, packed = main.params
        given = [_view(Buffer.of(v.ty, variable=v)) for v in self.inputs]
        weights = [_view(Buffer.of(part, weight=i)) for i, part in enumerate(packed.ty.fields)]
        run = number = 0

        def call(symbol: str, arguments: list[Any], types: list[Any]) -> list[View]:
            nonlocal run, number
            kernel = self.kernels.get(symbol)
            if kernel is None:
                run, number = run + 1, 0
                written = tuple(Buffer.of(type) for type in types)
                self.items.append(_Other(symbol, tuple(arguments), written))
            else:
                written = tuple(Buffer.of(type, run=run) for type in types)
                read = tuple(a for a in arguments if isinstance(a, tuple))
                *sizes, chunks = (a for a in arguments if isinstance(a, int))
                self.items.append(KernelStep(run, number, kernel, read, tuple(sizes), chunks, written))
                number += 1
            return [_view(array) for array in written]

        self.outputs = follow(main, [*given, weights], lambda view, shape: (view[0], shape), call)

    def _shared(self) -> set[Buffer]:
        """The arrays that are read outside of the run that makes them."""
        found = {array for array, _ in self.outputs}
        for item in self.items:
            if isinstance(item, _Other):
                found |= {a[0] for a in item.arguments if isinstance(a, tuple)}
            else:
                found |= {array for array, _ in item.read if array.run not in (None, item.run)}
        return found

    def program(self) -> Program:
        """The new program."""
        weights = {array.weight: array for array in self.shared if array.weight is not None}
        alone = [weights[number] for number in sorted(weights)]
        for array in alone:
            array.variable = relax.Var(f"weight{array.weight}", array.type)
        with self.builder.function("main", [*self.inputs, self.blob.variable, *(array.variable for array in alone)]):
            with self.builder.dataflow():
                calls: list[KernelStep] = []
                for item in self.items:
                    if isinstance(item, KernelStep):
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

    def _run(self, calls: Sequence[KernelStep]) -> None:
        """One call for several, if there are any."""
        if not calls:
            return
        number = calls[0].run
        read = dict.fromkeys(a for call in calls for a, _ in call.read if a.run != number and a.weight is None)
        made = dict.fromkeys(a for call in calls for a in call.written)
        given, written = [*read, self.blob], [array for array in made if array in self.shared]
        inner = frozenset(made) - self.shared
        groups = groups_of(calls, inner, self.target.host.l2_bytes, self.target.threads)
        plan = Block.of(groups, inner)
        threads = self.target.threads
        block = [Buffer((plan.common_bytes + threads * plan.own_bytes,), _BYTES)] if inner else []
        bases = {array: i for i, array in enumerate([*given, *written, *block], start=1)}

        def place(array: Buffer, chain: ChainNumber) -> tuple[int, int]:
            if array.weight is not None:
                return bases[self.blob], self.offsets[array.weight]
            if array not in inner:
                return bases[array], 0
            if array in plan.common:
                return bases[block[0]], plan.common[array]
            return len(bases) + 1, plan.own[array, chain]

        def step(piece: Piece, chain: ChainNumber) -> Step:
            arguments = []
            for name, (array, _) in piece.step.pointers.items():
                base, offset = place(array, chain)
                arguments.append((base, offset + piece.offset(name)))
            sizes = ((0, size) for size in piece.sizes)
            return Step(piece.step.kernel, (*arguments, *sizes), piece.chunks, piece.step.number)

        name = f"{RUN}{number}"
        self.runs[name] = Run(
            len(bases),
            len(calls),
            Own(bases[block[0]], plan.common_bytes, plan.own_bytes, threads) if plan.own else None,
            tuple(
                tuple(tuple(step(piece, (g, c)) for piece in chain) for c, chain in enumerate(group.chains))
                for g, group in enumerate(groups)
            ),
        )
        self._emit(name, [array.variable for array in given], [*written, *block])

    def _emit(self, symbol: str, arguments: Sequence[Any], written: Sequence[Buffer]) -> None:
        """A call of a function that writes some arrays."""
        types = [array.type for array in written]
        call = relax.call_dps_packed(symbol, arguments, out_ty=types if len(types) > 1 else types[0])
        result = self.builder.emit(call)
        for index, array in enumerate(written):
            array.variable = result if len(types) == 1 else self.builder.emit(relax.TupleGetItem(result, index))

    def _variable(self, view: View) -> Any:
        """What stands for an array in some shape."""
        array, shape = view
        if shape == array.shape:
            return array.variable
        return self.builder.emit(relax.op.reshape(array.variable, shape))


def _view(array: Buffer) -> View:
    """An array in its own shape."""
    return array, array.shape
