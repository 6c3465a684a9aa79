"""The variants of one kernel call in this process: compiled, linked, with arrays of their own, ready to be timed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax

from nascompiler.backends.cpu.choice import Choice, Choices, choose, settle
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.native import object_file
from nascompiler.backends.memory import aligned
from nascompiler.backends.target import Target
from nascompiler.backends.tile_permission import permit_tiles
from nascompiler.backends.toolchain import link_shared
from nascompiler.backends.tvm_adapter.buffers import Buffer
from nascompiler.backends.tvm_adapter.build import kernel_object, write_kernel
from nascompiler.backends.tvm_adapter.caller import caller_symbol
from nascompiler.backends.tvm_adapter.device import tvm_target
from nascompiler.backends.tvm_adapter.lower import lower
from nascompiler.backends.tvm_adapter.lowered import Lowered, bindings, result_types
from nascompiler.ir.graph import Graph
from nascompiler.ir.types import Array, DType

ROTATED_CACHES = 2
"""The copies of the weights, used in turns, fill the second-level cache so many times."""

MOST_COPIES = 256

PROGRAM_CALL_NS = 50.0
"""About what it takes a compiled program to make a call in a run of calls."""

OUTSIDE_NS, OUTSIDE_BYTE_NS = 1000.0, 0.025
"""What a function of TVM's costs that stands between two runs, about: the virtual machine's work, and for each byte
that it reads and writes, which is not where the runs have theirs, the way from behind the second-level cache.
"""

_COST_RUNS = 100


@dataclass(frozen=True)
class Compiled:
    """A variant of a call: its program, and the objects of its functions."""

    lowered: Lowered
    objects: tuple[Path, ...]


def compile_variant(graph: Graph, choice: Choice, target: Target, folder: Path | None = None) -> Compiled:
    """A graph of one call, computed as chosen; what it is separated into, as is known to be best.

    Objects are kept for the next time but for those of schedules that are only tried: they go to `folder`.
    """
    (call,) = map(KernelCall.of, graph.nodes)

    def chooser(calls: Iterable[KernelCall], target: Target) -> Choices:
        return {**choose(calls, target), call.text: choice}

    settled, choices = settle(graph, target, chooser)
    lowered = lower(settled, target, choices)
    device = tvm_target(target)
    objects = []
    for symbol, make in lowered.kernels.items():
        if choice.schedule and folder is not None:
            write_kernel(symbol, make, device, folder / f"{symbol}.o")
            objects.append(folder / f"{symbol}.o")
        else:
            objects.append(kernel_object(symbol, make, device)[0])
    objects += [object_file(kernel)[0] for kernel in lowered.objects.values()]
    return Compiled(lowered, tuple(objects))


def load_functions(compiled: Sequence[Compiled], target: Target, library: Path) -> Any:
    """The module with the functions of all variants, linked to `library`."""
    permit_tiles(target.isa.features)
    link_shared(list(dict.fromkeys(path for c in compiled for path in c.objects)), library, target.isa)
    return tvm.runtime.load_module(str(library))


def call_cost_ns(calls: Sequence[tuple[Any, Sequence[Any]]]) -> float:
    """What it costs to make some calls from here, which is no part of their own time: that of calling nothing."""
    nothing = tvm_ffi.get_global_func("testing.nop")
    times = []
    for _ in range(_COST_RUNS):
        start = time.perf_counter_ns()
        for _, arguments in calls:
            nothing(*arguments)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times))


@dataclass
class Memory:
    """Arrays that the variants of a call share, as the kernels of a network share its plan of memory.

    So what a kernel reads was just written, as the previous kernel would leave it, and what it writes to is warm.
    """

    inputs: list[Array]
    _written: dict[tuple[int, tuple[int, ...], str], Array] = field(default_factory=dict)

    def written(self, place: int, shape: tuple[int, ...], dtype: str) -> Array:
        """The array of that place among those which a variant writes to."""
        key = (place, shape, dtype)
        if key not in self._written:
            self._written[key] = aligned(shape, DType.of(np.dtype(dtype)))
        return self._written[key]


class Variant:
    """A variant that can be run: calling it computes the call once, with the next copy of its weights.

    `warm` computes it with the copy of the run before, once more right behind: what a network does whose weights and
    code stay in the caches.
    """

    def __init__(self, compiled: Compiled, functions: Any, memory: Memory, target: Target) -> None:
        self.outputs: list[Array] = []
        self._keep: list[Any] = []
        self._functions = functions
        self._memory = memory
        weights = compiled.lowered.weights.arrays
        size, cache = sum(w.nbytes for w in weights), target.host.l2_bytes
        copies = -(-ROTATED_CACHES * cache // max(1, size)) if weights else 1
        self._sets = [
            list(self._calls(compiled.lowered, [_copy(w) for w in weights])) for _ in range(min(copies, MOST_COPIES))
        ]
        self.may_be_warm = size < cache
        """Whether all of its weights fit into the cache together, so that a network may be one that stays there."""
        self._call_cost_ns = call_cost_ns(self._sets[0])
        self.program_ns = _program_ns(compiled.lowered)
        """What a program needs for these calls beside the time that they take here."""
        self._turn = 0
        self._touched = [array.reshape(-1).view(np.uint8) for array in reversed(memory.inputs)]

    def __call__(self) -> float:
        """The time of one run in ns, as a part of a compiled program."""
        self._turn = (self._turn + 1) % len(self._sets)
        self._touch()
        return self._timed()

    def warm(self) -> float:
        """The same with the weights that were used last, by code that has just run."""
        self._touch()
        self._timed()
        return self._timed()

    def turn(self) -> tuple[float, ...]:
        """A turn among other calls: its time with the next weights, and where they may stay in the cache `warm`.

        It runs once before, so that its code and what it writes to are in the cache as in a network, where other calls
        use the same memory.
        """
        self()
        taken = self()
        return (taken, self.warm()) if self.may_be_warm else (taken,)

    def _touch(self) -> None:
        """Write all inputs anew, the first one last."""
        for view in self._touched:
            np.bitwise_or(view, 0, out=view)

    def _timed(self) -> float:
        calls = self._sets[self._turn]
        start = time.perf_counter_ns()
        for function, arguments in calls:
            function(*arguments)
        taken = time.perf_counter_ns() - start
        return max(taken - self._call_cost_ns, 0.0) + self.program_ns

    def _calls(self, lowered: Lowered, weights: list[Array]) -> Iterator[tuple[Any, list[Any]]]:
        """The calls that the program makes, with their arguments; sets `outputs`."""
        main = lowered.module["main"]
        *inputs, packed = main.params
        values: dict[Any, Any] = dict(zip(inputs, self._memory.inputs, strict=True))
        values[packed] = weights
        place = 0
        for variable, value in bindings(main):
            if isinstance(value, relax.Tuple):
                values[variable] = [values[v] for v in value.fields]
            elif isinstance(value, relax.TupleGetItem):
                values[variable] = values[value.tuple_value][value.index]
            elif isinstance(value, relax.Var):
                values[variable] = values[value]
            elif str(value.op.name) == "relax.call_dps_packed":
                read = [values[a] if isinstance(a, relax.Var) else int(a.value) for a in value.args[1].fields]
                written = []
                for result in map(Buffer.of, result_types(value.ty_args)):
                    written.append(self._memory.written(place, result.shape, result.dtype))
                    place += 1
                values[variable] = written if len(written) > 1 else written[0]
                arguments = [self._tensor(a) if isinstance(a, np.ndarray) else a for a in (*read, *written)]
                yield self._functions[str(value.args[0].global_symbol)], arguments
            else:
                assert str(value.op.name) == "relax.reshape", value.op
                values[variable] = values[value.args[0]].reshape([int(size) for size in value.args[1]])
        self.outputs = values[main.body.body]

    def _tensor(self, array: Array) -> Any:
        tensor = tvm_ffi.from_dlpack(array, require_alignment=0)
        self._keep.append(array)  # TVM's tensor borrows its memory
        return tensor


def _program_ns(lowered: Lowered) -> float:
    """What the calls of a program cost besides their work: little for kernels, which come in runs, more for others."""
    kernels = {caller_symbol(kernel) for kernel in lowered.objects.values()}
    main = lowered.module["main"]
    weights, total = set(), 0.0
    for variable, value in bindings(main):
        if isinstance(value, relax.TupleGetItem) and value.tuple_value.same_as(main.params[-1]):
            weights.add(variable)
        elif isinstance(value, tvm.ir.Call) and str(value.op.name) == "relax.call_dps_packed":
            if str(value.args[0].global_symbol) in kernels:
                total += PROGRAM_CALL_NS
            else:
                arguments = [a for a in value.args[1].fields if isinstance(a, relax.Var) and a not in weights]
                moved = [argument.ty for argument in arguments] + result_types(value.ty_args)
                total += OUTSIDE_NS + OUTSIDE_BYTE_NS * sum(Buffer.of(type).bytes for type in moved)
    return total


def _copy(array: Array) -> Array:
    copy = aligned(array.shape, DType.of(array.dtype))
    copy[...] = array
    return copy
