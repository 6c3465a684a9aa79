"""Running a compiled program: its memory, its threads, one step, and the time of every kernel call."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm_ffi

from nascompiler.backends.memory import aligned
from nascompiler.ir.errors import UsageError
from nascompiler.ir.types import Array, TensorType

_CPU, _FIRST, _POOLED = 1, 0, 2
"""DLPack's number of the device, which of its kind, and the virtual machine's way to allocate memory."""

_BIG_CORES_FIRST = 1
_WITH_RESULTS = 1
_NO_OPERATION = "vm.builtin.null_value"

RUN = "nascompiler_run"
"""How the names of functions begin that make several calls."""

CLOCK = "nascompiler_clock"
"""The function that says where the times of calls go: an array of 64-bit integers, or nothing to stop it.

Its first element counts those that were written behind its second, which says how many fit. They come in pairs: the
number of a call of a run, and ns that it took or a part of it did, over the number of threads where they compute side
by side; or, where a run begins, -1 and how many calls it has.
"""

_CLOCK_PLACES = 1 << 18
"""Room for the times of one step."""


@dataclass(frozen=True)
class CallTimes:
    """One run under the clock, in ns: each kernel call in order, and from the first to the last instruction.

    The cost of looking at the clock is taken off each call, and so is part of what is left of the total.
    """

    calls: tuple[int, ...]
    total: int


def pool_size() -> int:
    """How many threads the pool has at most."""
    return int(os.environ["TVM_NUM_THREADS"])


class Program:
    """A loaded library with its weights, and inputs and outputs at fixed places in memory.

    `weights` are what the program takes behind its inputs: the blob of all, and some by themselves. `inputs` are arrays
    to write to; `step` computes, `outputs` are views of what it computed last.
    """

    def __init__(self, library: Path, weights: Sequence[Array], inputs: Sequence[TensorType], threads: int) -> None:
        self._library = tvm_ffi.load_module(str(library))
        self._owners = list(weights)  # TVM's tensors borrow their memory
        self._weights = [tvm_ffi.from_dlpack(w, require_alignment=0) for w in weights]
        self.inputs: list[Array] = [aligned(t.static_shape, t.dtype) for t in inputs]
        self._inputs = [tvm_ffi.from_dlpack(array, require_alignment=0) for array in self.inputs]
        self._machine = _virtual_machine(self._library)
        self._machine["save_function"]("main", "step", _WITH_RESULTS, *self._inputs, *self._weights)
        self._function = self._machine["step"]
        self._configure = tvm_ffi.get_global_func("runtime.config_threadpool")
        self._results: Any = ()
        self._timed: Any = None
        self.set_threads(threads)

    def set_threads(self, threads: int) -> None:
        """How many threads the next steps use; raises UsageError for more than the pool has."""
        if not 1 <= threads <= pool_size():
            raise UsageError(
                f"{threads} threads are asked for; this process can use 1 to {pool_size()} (set TVM_NUM_THREADS before "
                "starting it to have more)"
            )
        self.threads = threads

    def step(self) -> None:
        """Compute the outputs from what stands in `inputs`."""
        # the setting belongs to the process, not to the program; setting it again costs less than a microsecond
        self._configure(_BIG_CORES_FIRST, self.threads)
        self._results = self._function()

    @property
    def outputs(self) -> list[Array]:
        """Views of the outputs of the last step, valid until the next."""
        return [np.from_dlpack(result) for result in self._results]

    def timed_step(self, symbols: frozenset[str]) -> CallTimes:
        """One step, with the time of every call of one of `symbols`."""
        if self._timed is None:
            self._timed = _virtual_machine(self._library)
        clock = _Clock()
        places = np.zeros(_CLOCK_PLACES, np.int64)
        places[1] = places.size - 2
        self._configure(_BIG_CORES_FIRST, self.threads)
        self._timed["set_instrument"](clock)
        set_clock = self._library.get_function(CLOCK, query_imports=True)
        set_clock(tvm_ffi.from_dlpack(places, require_alignment=0))
        start = time.perf_counter_ns()
        self._results = self._timed["main"](*self._inputs, *self._weights)
        total = time.perf_counter_ns() - start
        set_clock(None)
        spans = clock.spans()
        idle = sorted(ns for name, ns in spans if name == _NO_OPERATION)
        overhead = idle[len(idle) // 2] if idle else 0
        runs = iter(_run_times(places[2 : 2 + min(places[0], places[1])].reshape(-1, 2)))
        calls: list[int] = []
        for name, ns in spans:
            if name.startswith(RUN):
                calls += next(runs)
            elif name in symbols:
                calls.append(max(ns - overhead, 0))
        return CallTimes(tuple(calls), total)


def _run_times(pairs: Array) -> list[list[int]]:
    """The time of each call of each run."""
    runs: list[list[int]] = []
    for call, number in pairs.tolist():
        if call < 0:
            runs.append([0] * number)
        else:
            runs[-1][call] += number
    return runs


def _virtual_machine(library: Any) -> Any:
    """TVM's virtual machine for a library's program, with the functions of the program and its own by name."""
    machine = library["vm_load_executable"]()
    machine["vm_initialization"](_CPU, _FIRST, _POOLED)
    return machine


class _Clock:
    """Called by the virtual machine before and after each instruction; does as little as it can."""

    def __init__(self) -> None:
        self._events: list[tuple[str, bool, int]] = []

    def __call__(self, function: Any, name: str, before: bool, result: Any, *arguments: Any) -> None:
        now = time.perf_counter_ns()
        self._events.append((name, before, now if not before else time.perf_counter_ns()))

    def spans(self) -> list[tuple[str, int]]:
        """Name and duration in ns of each instruction, in order."""
        events = iter(self._events)
        return [(name, end - start) for (name, _, start), (_, _, end) in zip(events, events, strict=True)]
