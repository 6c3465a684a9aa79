"""Filling a latency table: kernel calls measured one by one, each kept at once, while time allows.

On this machine those that were measured one by one are then timed once more, many in turns: only times that were taken
in the same states of the machine add up to that of a network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nascompiler.backends.cpu.call_graph import call_graph, with_random_constants
from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import TuningError
from nascompiler.backends.measure.kernels import PROGRAM_START, KernelMeasurer
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.measure.timing import kernel_measurer, new_session
from nascompiler.backends.store import Row, Tuning
from nascompiler.backends.target import Target
from nascompiler.ir import Graph
from nascompiler.search.latency.table import LatencyTable, used_row

SECONDS_PER_CALL = 0.3
"""Time to run the one variant that is used, beside that to compile and check it."""

_CALLS_PER_PROCESS = 128
"""Calls that are timed in turns. A worker holds the weights of all of them; a new one takes two seconds to start."""

MeasurerFactory = Callable[[Graph, Target], KernelMeasurer]


@dataclass(frozen=True)
class BuildProgress:
    """So many calls of those to be measured are done, the last with this result; `left_s` is about what is left."""

    done: int
    total: int
    left_s: float
    call: KernelCall
    tuning: Tuning


@dataclass(frozen=True)
class BuildResult:
    """How many calls were measured now, were known before, failed in every variant, and are left for another time."""

    measured: int
    known: int
    failed: tuple[tuple[str, Row], ...]
    left: int


def build_table(
    table: LatencyTable,
    *,
    budget_s: float,
    all_variants: bool = False,
    again_disturbed: bool = False,
    report: Callable[[BuildProgress], None] = lambda progress: None,
    measurer: MeasurerFactory = kernel_measurer,
) -> BuildResult:
    """Measure the calls that the table lacks, those of most architectures first, and keep them in its first store.

    Only the variant that the compiler takes is measured, unless it fails, or `all_variants`: then the compiler takes
    the fastest from now on, as after tuning. No call is begun after `budget_s`. Raises TuningError when nothing could
    be measured though something was tried, DeviceError when the machine cannot measure.
    """
    todo = table.missing(disturbed=again_disturbed)
    calls = table.collection.calls
    failed: list[tuple[str, Row]] = []

    def told(done: int, left_s: float, key: str, tuning: Tuning) -> None:
        if not tuning.measured:
            failed.extend((key, row) for row in tuning.rows)
        report(BuildProgress(done, len(todo), left_s, calls[key], tuning))

    done = measure_calls(table, todo, budget_s=budget_s, all_variants=all_variants, report=told, measurer=measurer)
    if done and len({key for key, _ in failed}) == done:
        listed = "; ".join(f"{row.variant}: {row.outcome.value}: {row.detail}" for _, row in failed[:3])
        raise TuningError(f"nothing could be measured: {listed}")
    return BuildResult(done, len(calls) - len(todo), tuple(failed), len(todo) - done)


def measure_calls(
    table: LatencyTable,
    todo: Sequence[str],
    *,
    budget_s: float,
    all_variants: bool = False,
    report: Callable[[int, float, str, Tuning], None] = lambda done, left_s, key, tuning: None,
    measurer: MeasurerFactory = kernel_measurer,
) -> int:
    """Measure some calls of a table by their keys and keep each; the number of those that there was time for."""
    began = time.monotonic()
    target = table.target
    session = new_session(target)
    follows = target.core is None  # another measurement, in turns
    first_s, in_turns_s = (0.0, SECONDS_PER_CALL) if follows else (SECONDS_PER_CALL, 0.0)
    done = 0
    for start in range(0, len(todo), _CALLS_PER_PROCESS):
        keys = todo[start : start + _CALLS_PER_PROCESS]
        calls = [table.collection.calls[key] for key in keys]
        before = table.known.tunings(keys, target.timing_fingerprint)
        first: dict[str, Tuning] = {}
        with measurer(with_random_constants(call_graph(calls)), target) as worker:
            for key, call in zip(keys, calls, strict=True):
                tuning = _measure(worker, call, target, before.get(key), first_s, all_variants)
                table.known.stores[0].add(key, session, tuning)
                first[key] = tuning
                done += 1
                spent = time.monotonic() - began
                left_s = spent / done * (len(todo) - done) + in_turns_s * (len(todo) - start)
                report(done, min(max(budget_s - spent, 0.0), left_s), key, tuning)
                if spent >= budget_s:
                    return done
            seconds = min(in_turns_s * len(keys), budget_s - (time.monotonic() - began))
            if seconds > 0:
                for key, tuning in _in_turns(worker, table, first, seconds).items():
                    table.known.stores[0].add(key, session, tuning)
    return done


def _in_turns(
    worker: KernelMeasurer, table: LatencyTable, first: Mapping[str, Tuning], seconds: float
) -> dict[str, Tuning]:
    """Measurements of calls with the times of the variants that are used, by key, as they are in turns with all."""
    used = {key: used_row(table.collection.calls[key], table.target, tuning) for key, tuning in first.items()}
    known = {key: row for key, row in used.items() if row is not None and not row.schedule}
    timed = worker.measure_together({key: row.variant for key, row in known.items()}, seconds)
    made = {}
    if PROGRAM_START in timed:
        made[PROGRAM_START] = Tuning((Row("", **timed.pop(PROGRAM_START)),), 0.0, Kind.MEASURED, True)
    for key, figures in timed.items():
        rows = [replace(row, **figures) if row.variant == known[key].variant else row for row in first[key].rows]
        made[key] = replace(first[key], rows=tuple(rows))
    return made


def _measure(
    worker: KernelMeasurer,
    call: KernelCall,
    target: Target,
    before: Tuning | None,
    seconds: float,
    all_variants: bool,
) -> Tuning:
    """The variant that the compiler takes, for about so many seconds; the others too where it fails."""
    available = list(variants(call, target))
    if all_variants:
        return worker.measure(call.key, SECONDS_PER_CALL)
    known = used_row(call, target, before)
    taken = known.variant if known is not None else available[0]
    tuning = worker.measure(call.key, seconds, [name for name in available if name != taken])
    if tuning.measured or len(available) == 1:
        return replace(tuning, noise=0.0)
    others = worker.measure(call.key, SECONDS_PER_CALL, [taken])
    return Tuning((*tuning.rows, *others.rows), others.noise, others.kind, others.fresh)
