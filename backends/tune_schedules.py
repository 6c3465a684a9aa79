"""Schedules searched for the calls of a network, when its variants are measured: what takes longest gets most time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nascompiler.backends.cpu.choice import METASCHEDULE, SEPARATE, variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.measure.interleaved import HOPELESS
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.schedules import ScheduleSearcher, Search
from nascompiler.backends.store import Row, Tuning
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Node

SHORTEST_SEARCH_S = 10.0
"""In less time a search tries so few schedules that it finds nothing."""


@dataclass(frozen=True)
class SearchProgress:
    """The search for a call has come so far: `done` of `total` calls are searched, `left_s` is left of the budget."""

    done: int
    total: int
    left_s: float
    node: str
    op: str
    search: Search


def searchable(
    nodes: Mapping[str, list[Node]], target: Target, tunings: Mapping[str, Tuning], again: bool
) -> list[str]:
    """The keys of the calls that a search makes sense for, those first that take longest.

    Those are calls in floating point that are measured and that fuse no others; integer sums need instructions that
    MetaSchedule has no rules for, and their type depends on the weights. A call that was searched is left out unless
    `again`.
    """
    found = {}
    for key, (node, *others) in nodes.items():
        tuning = tunings.get(key)
        if node.op.dialect != "cpu" or tuning is None or not tuning.fresh or not tuning.measured:
            continue
        is_float = all(value.type.dtype.is_float for value in (*node.operands, *node.results))
        searched = any(row.variant == METASCHEDULE for row in tuning.rows)
        if is_float and (again or not searched) and SEPARATE not in variants(KernelCall.of(node), target):
            found[key] = _best(tuning).median_ns * (1 + len(others))
    return sorted(found, key=found.__getitem__, reverse=True)


@dataclass(frozen=True)
class SearchPlan:
    """The calls to search, in order, with what is known of them; until the `deadline` by `time.monotonic`.

    A schedule that may be the fastest is measured once more, in turns with all variants, for about `seconds`.
    """

    keys: Sequence[str]
    nodes: Mapping[str, list[Node]]
    labels: Mapping[Node, str]
    tunings: Mapping[str, Tuning]
    deadline: float
    seconds: float

    def run(
        self,
        worker: KernelMeasurer,
        *,
        keep: Callable[[str, Tuning], None],
        report: Callable[[SearchProgress], None],
        done: Callable[[str, Search], None],
    ) -> None:
        """Search; `keep` what is known of a call whenever there is more of it; `done` is told when a call is."""
        times = [_best(self.tunings[key]).median_ns * len(self.nodes[key]) for key in self.keys]
        with ScheduleSearcher(worker) as searcher:
            for place, key in enumerate(self.keys):
                left_s = self.deadline - time.monotonic()
                if left_s < SHORTEST_SEARCH_S:
                    return
                known = self.tunings[key]

                def tell(search: Search, key: str = key, place: int = place, known: Tuning = known) -> None:
                    if search.best is not None and search.best.gain > _best(known).gain:
                        keep(key, _with(known, search.best))  # an interruption finds it there
                    node, left = self.nodes[key][0], max(self.deadline - time.monotonic(), 0.0)
                    report(SearchProgress(place, len(self.keys), left, self.labels[node], node.op.name, search))

                share_s = max(left_s * times[place] / sum(times[place:]), SHORTEST_SEARCH_S)
                reference = next(iter(known.measured.values()))
                search = searcher.search(key, reference, deadline=time.monotonic() + share_s, report=tell)
                if search.best is not None and search.best.gain * HOPELESS > _best(known).gain:
                    again = worker.measure(key, self.seconds, schedules={METASCHEDULE: search.best.schedule})
                    keep(key, again if again.measured else _with(known, search.best))
                elif search.trials or search.failures:
                    keep(key, _with(known, search.best or search.failure))
                done(key, search)


def _best(tuning: Tuning) -> Row:
    return max(tuning.measured.values(), key=lambda row: row.gain)


def _with(tuning: Tuning, row: Row) -> Tuning:
    """What is known with the row of a schedule, in place of another one."""
    return replace(tuning, rows=(*(r for r in tuning.rows if r.variant != row.variant), row))
