"""Tuning: the kernel calls of a network measured variant by variant, the most expensive first, while time allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import TuningError
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.schedules import Search
from nascompiler.backends.measure.timing import kernel_measurer, new_session
from nascompiler.backends.predict import known_row, timed_calls
from nascompiler.backends.store import Measurements, Outcome, Row, Tuning, known_measurements
from nascompiler.backends.target import Target
from nascompiler.backends.tune_schedules import ScheduleProgress, SearchPlan, searchable
from nascompiler.ir.cost import node_cost
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.labels import node_labels

SECONDS_PER_CALL = 0.4
"""Time to run the variants of a call, beside that to compile and check them."""

_GUESSED_MACS_PER_NS = 50.0
_GUESSED_BYTES_PER_NS = 10.0


@dataclass(frozen=True)
class CallResult:
    """What is known of a call. `nodes` are those that make it; times are in ns for one of them, None if not known.

    `variant` is the one that is taken, `default` the one without measurements; `gain` is the ratio of their times.
    """

    call: str
    op: str
    nodes: tuple[str, ...]
    default: str
    variant: str
    default_ns: float | None
    ns: float | None
    gain: float
    failures: tuple[Row, ...] = ()

    @property
    def total_ns(self) -> float | None:
        """The time of all nodes together."""
        return None if self.ns is None else self.ns * len(self.nodes)


@dataclass(frozen=True)
class Progress:
    """So many calls of those to be measured are done, the last with this result; `left_s` is about what is left."""

    done: int
    total: int
    left_s: float
    result: CallResult


@dataclass(frozen=True)
class TuningResult:
    """All calls of a network, the most expensive first, and how many were measured now, known before and left over."""

    target: str
    calls: tuple[CallResult, ...]
    measured: int
    known: int
    left: int
    searched: int = 0
    """How many calls a schedule was searched for."""
    end_to_end: Mapping[str, Any] | None = None
    """The network with the default variants against the tuned one, measured in turns, if that was done."""

    @property
    def failures(self) -> tuple[Row, ...]:
        return tuple(row for call in self.calls for row in call.failures)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data; times in ns."""
        return {
            "target": self.target,
            "measured": self.measured,
            "known": self.known,
            "left": self.left,
            "searched": self.searched,
            "calls": [
                {
                    "call": c.call,
                    "nodes": list(c.nodes),
                    "default": c.default,
                    "variant": c.variant,
                    "default_ns": c.default_ns,
                    "ns": c.ns,
                    "gain": c.gain,
                    "failures": [
                        {"variant": f.variant, "outcome": f.outcome.value, "detail": f.detail} for f in c.failures
                    ],
                }
                for c in self.calls
            ],
            "end_to_end": self.end_to_end,
        }


def tune_graph(
    graph: Graph,
    target: Target,
    *,
    budget_s: float,
    known: Measurements | None = None,
    again: bool = False,
    metaschedule: bool = False,
    report: Callable[[Progress | ScheduleProgress], None] = lambda progress: None,
    measurer: Callable[[Graph, Target], KernelMeasurer] = kernel_measurer,
) -> TuningResult:
    """Measure the calls of a graph whose kernels are assigned, on one thread, and keep what is found.

    Each call is kept as soon as it is measured, in the first store of `known` (default: the overlay). What was measured
    here by the same version of the kernels is not measured again unless `again`. No call is begun after `budget_s`;
    with `metaschedule`, what is left of it goes to the search for schedules. Raises TuningError when nothing could be
    measured though something was tried, DeviceError when the machine cannot measure.
    """
    began = time.monotonic()
    known = known_measurements() if known is None else known
    nodes = timed_calls(graph)
    tunings = known.tunings(nodes, target.timing_fingerprint)
    todo = [key for key, made in nodes.items() if again or not _is_tuned(made[0], target, tunings.get(key))]
    todo.sort(key=lambda key: _priority(nodes[key], target, tunings.get(key)), reverse=True)
    labels = node_labels(graph)
    results = {key: _result(nodes[key], labels, target, tunings.get(key)) for key in nodes}
    session = new_session(target)

    def keep(key: str, tuning: Tuning) -> None:
        known.stores[0].add(key, session, tuning)
        tunings[key] = tuning
        results[key] = _result(nodes[key], labels, target, tuning)

    done = 0
    searches: list[Search] = []
    if todo or metaschedule:
        with measurer(graph, target) as worker:
            for done, key in enumerate(todo, start=1):
                keep(key, worker.measure(key, SECONDS_PER_CALL))
                spent = time.monotonic() - began
                left = max(budget_s - spent, 0.0)
                expected = left if metaschedule else min(left, spent / done * (len(todo) - done))
                report(Progress(done, len(todo), expected, results[key]))
                if spent >= budget_s:
                    break
            if metaschedule:
                wanted = searchable(nodes, target, tunings, again)
                deadline = began + budget_s

                def searched(key: str, search: Search) -> None:
                    searches.append(search)
                    left = max(deadline - time.monotonic(), 0.0)
                    report(Progress(len(searches), len(wanted), left, results[key]))

                SearchPlan(wanted, nodes, labels, tunings, deadline, SECONDS_PER_CALL).run(
                    worker, keep=keep, report=report, done=searched
                )
    _check(todo[:done], results, searches)
    ordered = sorted(results.values(), key=lambda result: result.total_ns or 0.0, reverse=True)
    known_before = len(nodes) - len(todo)
    return TuningResult(str(target), tuple(ordered), done, known_before, len(todo) - done, searched=len(searches))


def _check(tried: Sequence[str], results: Mapping[str, CallResult], searches: Sequence[Search]) -> None:
    """Raise TuningError when nothing was measured of what was tried."""
    calls = [results[key] for key in tried]
    if calls and all(result.ns is None for result in calls):
        listed = "; ".join(f"{r.op}: {f.variant}: {f.outcome.value}: {f.detail}" for r in calls[:3] for f in r.failures)
        raise TuningError(f"nothing could be measured: {listed}")
    if not calls and searches and all(search.best is None for search in searches):
        listed = "; ".join(search.failure.detail for search in searches[:3])
        raise TuningError(f"no schedule could be measured: {listed}")


def _is_tuned(node: Node, target: Target, tuning: Tuning | None) -> bool:
    """Whether today's kernels were compared here: for a latency alone only the variant that is used is measured."""
    if tuning is None or not tuning.fresh or tuning.shipped:
        return False
    return not tuning.alone or len(variants(KernelCall.of(node), target)) == 1


def _priority(nodes: list[Node], target: Target, tuning: Tuning | None) -> tuple[bool, float]:
    """Calls for which there is a choice first, then by the time that they take, as known or guessed, in ns."""
    row = known_row(KernelCall.of(nodes[0]), target, tuning)
    cost = node_cost(nodes[0])
    guess = (cost.macs or 0) / _GUESSED_MACS_PER_NS + (cost.bytes or 0) / _GUESSED_BYTES_PER_NS
    choice = len(variants(KernelCall.of(nodes[0]), target)) > 1
    return choice, len(nodes) * (guess if row is None else row.median_ns)


def _result(nodes: list[Node], labels: Mapping[Node, str], target: Target, tuning: Tuning | None) -> CallResult:
    call = KernelCall.of(nodes[0])
    available = variants(call, target, tuning)
    default = next(iter(available))
    result = CallResult(call.key, call.op, tuple(labels[n] for n in nodes), default, default, None, None, 1.0)
    if tuning is None:
        return result
    failures = tuple(row for row in tuning.rows if row.outcome is not Outcome.MEASURED)
    best, reference = tuning.best(available, default), tuning.measured.get(default)
    if best is None:
        return replace(result, failures=failures)
    return replace(
        result,
        variant=best.variant,
        default_ns=reference.median_ns if reference else None,
        ns=best.median_ns,
        gain=best.gain / reference.gain if reference else best.gain,
        failures=failures,
    )
