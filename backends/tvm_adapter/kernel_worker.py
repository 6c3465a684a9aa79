"""A process that checks and times the variants of kernel calls: `... kernel_worker GRAPH.nir TARGET`.

The lines that it and its parent exchange, each a JSON object:

    worker -> {"ready": true}
    parent -> {"call": KEY, "skip": [VARIANT, ...], "seconds": S, "only": [VARIANT, ...], "schedules": {VARIANT: TEXT}}
    worker -> {"at": STAGE, "variant": VARIANT}             before whatever may crash or hang
    worker -> {"failed": VARIANT, "outcome": ..., "detail": ...}
    worker -> {"rows": [{"variant": ..., "median_ns": ..., ...}], "noise": ...}     the call is done
    parent -> {"together": {KEY: VARIANT, ...}, "seconds": S}
    worker -> {"times": {KEY: {"median_ns": ..., ...}, ...}}                        of those that could be timed

`only` and `schedules` may be left out: all variants that are not to be skipped, and no schedules. Rows that were not
measured come with their "kind". A worker for a board says {"gone": WORDS} when there is none any more. A crash or a
hang is the last thing announced; the parent starts another worker and skips that variant.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from nascompiler.backends.cpu.choice import METASCHEDULE, Choice, variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.exactness import Exactness, exactness
from nascompiler.backends.measure.interleaved import measure_interleaved
from nascompiler.backends.measure.kernels import PROGRAM_START, WAITING
from nascompiler.backends.measure.lease import device_lease
from nascompiler.backends.measure.priority import first_in_line
from nascompiler.backends.measure.quiet import Quiet
from nascompiler.backends.measure.together import Turns, measure_together
from nascompiler.backends.memory import aligned
from nascompiler.backends.store import DISTURBED, Outcome
from nascompiler.backends.target import Target, parse_target
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.files import load
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.random_values import random_array
from nascompiler.ir.types import Array, DType

TOLERANCES = {Exactness.EXACT: 0.0, Exactness.FLOAT: 1e-4, Exactness.ROUNDED: 5e-2}
"""Largest difference from the reference evaluation that is accepted, relative to its largest value."""

SMALLEST_DIFFERENCE_NS = 300.0
"""What variants of short calls differ by here, they may differ by the other way round in a network."""

WARM_SHARE = 0.3
"""Of the time to measure, that which weights in the cache get on top: only medians are taken of it."""


@dataclass
class Prepared:
    """A call with inputs, what it must compute of them, and its variants that were found to do so, ready to run."""

    key: str
    node: Node
    graph: Graph
    expected: list[Array]
    tolerances: list[float]
    memory: Any
    ready: dict[str, Any] = field(default_factory=dict)


class Worker:
    """Answers for the calls of one graph."""

    def __init__(self, graph: Graph, target: Target, wire: TextIO) -> None:
        from nascompiler.backends.tvm_adapter import variants as building

        self._building = building
        self._nodes = {KernelCall.of(node).key: node for node in graph.nodes}
        self.target = target
        self._wire = wire
        self._last: Prepared | None = None
        self._quiet = Quiet()

    def say(self, **message: Any) -> None:
        print(json.dumps(message), file=self._wire, flush=True)

    def measure(
        self,
        call: str,
        skip: Collection[str],
        seconds: float,
        only: Collection[str] | None = None,
        schedules: Mapping[str, str] | None = None,
    ) -> None:
        """Compile, check and time variants of a call: all but those to skip, or `only` some, and some schedules."""
        prepared = self.prepare(call)
        wanted = self.wanted(prepared, skip, only, schedules)
        new = {name: choice for name, choice in wanted.items() if name not in prepared.ready or choice.schedule}
        with tempfile.TemporaryDirectory(prefix="nascompiler-tune-") as folder:
            made = self._checked(prepared, self.compiled(prepared, new, Path(folder)), Path(folder))
        prepared.ready |= {name: variant for name, variant in made.items() if not new[name].schedule}
        ready = {name: v for name in wanted if (v := made.get(name, prepared.ready.get(name))) is not None}
        if not ready:
            self.say(rows=[], noise=0.0)
            return
        default = next(iter(ready))
        blamed = next(iter(schedules or ()), default)
        self.say(at=WAITING, variant=blamed)
        with device_lease(purpose="timing a kernel call"), first_in_line():
            self.say(at="measure", variant=blamed)
            found = measure_interleaved(ready, default, seconds=seconds, quiet=self._quiet)
            best = max(ready, key=lambda name: found.timings[name].gain)
            warm_ns = self._warm_ns({name: ready[name] for name in ready if name in (default, best)}, seconds)
        detail = DISTURBED if found.disturbed else ""
        rows = [
            {"variant": name, **asdict(timing), "detail": detail, "warm_ns": warm_ns.get(name, 0.0)}
            for name, timing in found.timings.items()
        ]
        self.say(rows=rows, noise=max(found.noise, SMALLEST_DIFFERENCE_NS / found.timings[default].median_ns))

    def measure_together(self, together: Mapping[str, str], seconds: float) -> None:
        """Time a variant of each of several calls, and the start of a program, all of them in turns."""
        from nascompiler.backends.tvm_adapter.program_start import program_start

        with tempfile.TemporaryDirectory(prefix="nascompiler-table-") as folder:
            turns = {PROGRAM_START: program_start(self.target, Path(folder) / "start")}
            for number, (key, name) in enumerate(together.items()):
                prepared = self.prepare(key)
                own = Path(folder) / str(number)
                own.mkdir()
                made = self._checked(prepared, self.compiled(prepared, self.wanted(prepared, (), (name,)), own), own)
                if name in made:
                    turns[key] = made[name].turn
        self.say(at=WAITING, variant="")
        with device_lease(purpose="timing kernel calls"), first_in_line():
            self.say(at="measure", variant="")
            found = measure_together(turns, seconds=seconds, quiet=self._quiet)
        self.say(times={key: _figures(turns) for key, turns in found.items()})

    def _warm_ns(self, ready: Mapping[str, Any], seconds: float) -> dict[str, float]:
        """Medians with weights in the cache, of those of some variants for which that makes a difference."""
        warm = {name: variant.warm for name, variant in ready.items() if variant.may_be_warm}
        if not warm:
            return {}
        found = measure_interleaved(warm, next(iter(warm)), seconds=seconds * WARM_SHARE, quiet=self._quiet)
        return {name: timing.median_ns for name, timing in found.timings.items()}

    def wanted(
        self,
        prepared: Prepared,
        skip: Collection[str],
        only: Collection[str] | None = None,
        schedules: Mapping[str, str] | None = None,
    ) -> dict[str, Choice]:
        """The variants of a call to measure, by name, the default first."""
        wanted = {
            name: Choice(name, made, "to be measured")
            for name, made in variants(KernelCall.of(prepared.node), self.target).items()
            if only is None or name in only
        }
        wanted |= {name: Choice(METASCHEDULE, None, "", text) for name, text in (schedules or {}).items()}
        return {name: choice for name, choice in wanted.items() if name not in skip}

    def prepare(self, call: str) -> Prepared:
        """A call with random inputs and what the reference evaluation makes of them."""
        if self._last is None or self._last.key != call:
            from nascompiler.backends.tvm_adapter.definition import graph_of

            graph = graph_of(self._nodes[call])
            generator = np.random.default_rng(0)
            inputs = {value.name: random_array(value.type, generator) for value in graph.inputs}
            classes = exactness(graph)
            self._last = Prepared(
                call,
                self._nodes[call],
                graph,
                list(evaluate(graph, inputs).values()),
                [TOLERANCES[classes[value]] for value in graph.outputs],
                self._building.Memory([_aligned_copy(array) for array in inputs.values()]),
            )
        return self._last

    def compiled(self, prepared: Prepared, choices: Mapping[str, Choice], folder: Path) -> dict[str, Any]:
        """The variants that can be compiled."""
        compiled = {}
        for name, choice in choices.items():
            self.say(at="compile", variant=name)
            try:
                compiled[name] = self._building.compile_variant(prepared.graph, choice, self.target, folder)
            except Exception as error:
                self.failed(name, Outcome.COMPILE_ERROR, error)
        return compiled

    def _checked(self, prepared: Prepared, compiled: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """The variants that compute what the reference evaluation does."""
        if not compiled:
            return {}
        try:
            functions = self._building.load_functions(list(compiled.values()), self.target, folder / "call.so")
        except Exception as error:
            for name in compiled:
                self.failed(name, Outcome.COMPILE_ERROR, error)
            return {}
        ready = {}
        for name, made in compiled.items():
            self.say(at="check", variant=name)
            try:
                variant = self._building.Variant(made, functions, prepared.memory, self.target)
                for output in variant.outputs:
                    output.reshape(-1).view(np.uint8)[...] = 0xFF  # NaN, or -1: nothing that is right by chance
                variant()
                problem = difference(variant.outputs, prepared.expected, prepared.tolerances)
            except Exception as error:
                self.failed(name, Outcome.COMPILE_ERROR, error)
                continue
            if problem:
                self.failed(name, Outcome.WRONG_RESULT, problem)
            else:
                ready[name] = variant
        return ready

    def failed(self, variant: str, outcome: Outcome, detail: object) -> None:
        """Say that a variant failed, and how."""
        words = f"{type(detail).__name__}: {detail}" if isinstance(detail, Exception) else str(detail)
        self.say(failed=variant, outcome=outcome.value, detail=words[:500])


def _figures(turns: Turns) -> dict[str, Any]:
    """The fields of a row that turns among others tell."""
    times = turns.times
    median, *warm = np.median(times, axis=0)
    return {
        "median_ns": float(median),
        "spread_ns": float(np.median(np.abs(times[:, 0] - median))),
        "repeats": len(times),
        "warm_ns": float(warm[0]) if warm else 0.0,
        "detail": DISTURBED if turns.disturbed else "",
    }


def difference(results: Sequence[Array], expected: Sequence[Array], tolerances: Sequence[float]) -> str:
    """What is wrong with the results, or nothing."""
    for result, wanted, tolerance in zip(results, expected, tolerances, strict=True):
        got, right = result.astype(np.float64), wanted.astype(np.float64).reshape(result.shape)
        finite = np.isfinite(right)
        scale = float(np.abs(right[finite]).max(initial=0.0)) or 1.0
        apart = float(np.abs(got[finite] - right[finite]).max(initial=0.0)) / scale
        if not (apart <= tolerance and np.array_equal(got[~finite], right[~finite], equal_nan=True)):
            return f"{apart:.2e} of the largest value from the reference evaluation; accepted: {tolerance:.0e}"
    return ""


def _aligned_copy(array: Array) -> Array:
    copy = aligned(array.shape, DType.of(array.dtype))
    copy[...] = array
    return copy


def serve(make: Callable[[Graph, Target, TextIO], Worker], arguments: Sequence[str]) -> None:
    """Answer the requests on standard input; the arguments are a file with a graph, and a target."""
    wire = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to stderr
    path, target = arguments
    worker = make(load(path), parse_target(target), wire)
    worker.say(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "together" in request:
            worker.measure_together(**request)
        else:
            worker.measure(**request)


if __name__ == "__main__":
    serve(Worker, sys.argv[1:])
