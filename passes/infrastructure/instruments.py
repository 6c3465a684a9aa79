"""What can be watched around every pass: verifier, printed IR, timing, numeric check, reproducer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nascompiler.ir import Array, Error, Graph, ModelError, evaluate, verify
from nascompiler.ir.files import save, write_text
from nascompiler.ir.random_values import random_array
from nascompiler.ir.text import print_graph
from nascompiler.passes.infrastructure.base import Exact, Nothing, Pass, PassContext, Preserves
from nascompiler.passes.infrastructure.pipeline import Pipeline


@dataclass(frozen=True)
class Record:
    """One run of a pass: the graph before and after, time in ns, and what the pass reported."""

    step: Pass
    before: Graph
    after: Graph
    changed: bool
    time_ns: int
    context: PassContext


class Instrument:
    """Base of instruments; each method may be overridden."""

    def after(self, record: Record) -> None:
        """A pass has run."""

    def failed(self, step: Pass, before: Graph, remaining: Pipeline, error: Exception) -> None:
        """A pass, or an instrument after it, has raised; `remaining` begins with that pass."""


class Verify(Instrument):
    """Verifies the graph after every pass that changed it."""

    def after(self, record: Record) -> None:
        if record.changed:
            verify(record.after)


@dataclass
class PrintAfterChange(Instrument):
    """Writes the graph after every pass that changed it to `NNN-pass-name.nir` in a folder, constants elided."""

    folder: Path
    _number: int = 0

    def after(self, record: Record) -> None:
        if self._number == 0:
            write_text(self.folder / "000-input.nir", print_graph(record.before))
            self._number = 1
        if record.changed:
            write_text(self.folder / f"{self._number:03d}-{record.step.name}.nir", print_graph(record.after))
            self._number += 1


@dataclass
class PassStatistics:
    """What one pass has done over a pipeline."""

    runs: int = 0
    changes: int = 0
    time_ns: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    misses: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Timing(Instrument):
    """Time, number of changes, statistics and misses of every pass, by its name in order of first run."""

    passes: dict[str, PassStatistics] = field(default_factory=dict)

    def after(self, record: Record) -> None:
        entry = self.passes.setdefault(record.step.name, PassStatistics())
        entry.runs += 1
        entry.changes += record.changed
        entry.time_ns += record.time_ns
        entry.counts.update(record.context.statistics)
        entry.misses = record.context.misses  # of the last run: earlier ones may have been resolved meanwhile


@dataclass
class NumericCheck(Instrument):
    """Evaluates the graph before and after every change on random inputs, and holds the pass to what it preserves.

    Graphs with open sizes, dynamic choices or unloaded constants cannot be evaluated; `skipped` says which and why.
    """

    seed: int = 0
    images: int = 1
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def after(self, record: Record) -> None:
        if not record.changed:
            return
        preserves = record.step.preserves
        if isinstance(preserves, Nothing):
            self.skipped.append((record.step.name, preserves.reason))
            return
        for image in range(self.images):
            try:
                inputs = random_inputs(record.after, self.seed + image)
                before = evaluate(record.before, inputs)
            except ModelError as error:
                self.skipped.append((record.step.name, str(error)))
                return
            problem = difference(before, evaluate(record.after, inputs), preserves)
            if problem:
                raise Error(f"{record.step.name} promises {preserves}, but {problem}")


def random_inputs(graph: Graph, seed: int) -> dict[str, Array]:
    """Standard normal inputs (integers: 0 to 3), the same for the same seed; ModelError when a size is open."""
    generator = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for value in graph.inputs:
        if not value.type.is_static:
            raise ModelError(f"input {value.name!r} has open sizes: {value.type}")
        inputs[value.name] = random_array(value.type, generator)
    return inputs


def difference(before: dict[str, Array], after: dict[str, Array], allowed: Preserves) -> str | None:
    """How two sets of outputs differ by more than is allowed, or None."""
    if list(before) != list(after):
        return f"the outputs {list(before)} became {list(after)}"
    for name, reference in before.items():
        result = after[name]
        if reference.shape != result.shape or reference.dtype != result.dtype:
            return f"output {name!r} was {reference.dtype}{reference.shape}, is {result.dtype}{result.shape}"
        if isinstance(allowed, Exact) or not np.issubdtype(reference.dtype, np.floating):
            if not np.array_equal(reference, result, equal_nan=np.issubdtype(reference.dtype, np.inexact)):
                return f"output {name!r} differs"
            continue
        assert not isinstance(allowed, Nothing)
        expected, got = reference.astype(np.float64), result.astype(np.float64)
        finite = np.isfinite(expected)
        if not np.array_equal(expected[~finite], got[~finite], equal_nan=True):
            return f"output {name!r} differs in infinities or NaN"
        largest = float(np.abs(expected[finite]).max(initial=0))
        error = float(np.abs(expected[finite] - got[finite]).max(initial=0))
        if not error <= allowed.relative * largest:
            return f"output {name!r} differs by {error:.3g}, {error / (largest or 1):.3g} of its largest value"
    return None


@dataclass
class Reproducer(Instrument):
    """When a pass fails, writes the graph before it and the passes still to run; `nascompiler opt FILE` replays it."""

    folder: Path
    written: Path | None = None

    def failed(self, step: Pass, before: Graph, remaining: Pipeline, error: Exception) -> None:
        graph = before.clone()
        graph.attributes["pipeline"] = str(remaining)
        graph.attributes["error"] = f"{type(error).__name__}: {error}"[:2000]
        path = self.folder / f"reproducer-{step.name}.nir"
        save(graph, path)
        self.written = path
