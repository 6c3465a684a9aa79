"""The search for schedules of kernel calls: one process proposes them, another builds, checks and times each."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from nascompiler.backends.cpu.choice import METASCHEDULE
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.worker_process import WorkerProcess
from nascompiler.backends.store.rows import Outcome, Row

PROPOSER = (sys.executable, "-m", "nascompiler.backends.tvm_adapter.search_worker")

TRIAL_SECONDS = 0.05
"""Time to run a schedule beside the variant that it is compared with; at least the fewest rounds of measuring."""

TRIAL_PATIENCE_S = 30.0
"""How long it may take to build and to check a schedule."""

PROPOSAL_PATIENCE_S = 120.0

MOST_TRIALS = 256


@dataclass
class Search:
    """What a search has come to: schedules tried, how many of them failed and how, and the fastest one if any."""

    trials: int = 0
    failures: Counter[Outcome] = field(default_factory=Counter)
    best: Row | None = None
    last_words: str = ""
    """What was said of the last failure."""

    @property
    def failure(self) -> Row:
        """A row that says how all has failed, by the most frequent kind."""
        ((outcome, _),) = self.failures.most_common(1) or ((Outcome.COMPILE_ERROR, 0),)
        kinds = ", ".join(f"{count} {kind.value}" for kind, count in self.failures.most_common())
        return Row(METASCHEDULE, outcome, detail=f"{self.trials} schedules: {kinds or 'none'}; {self.last_words}"[:500])


class ScheduleSearcher:
    """Searches schedules for the calls of a measurer's graph; to be used in a `with` block.

    `command` is what to start as `search_worker`.
    """

    def __init__(self, measurer: KernelMeasurer, *, command: Sequence[str] = PROPOSER) -> None:
        self._measurer = measurer
        log = Path(measurer.arguments[0]).with_name("search.txt")
        self._proposer = WorkerProcess([*command, *measurer.arguments], log)

    def __enter__(self) -> ScheduleSearcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proposer.end()

    def search(
        self,
        call: str,
        reference: Row,
        *,
        deadline: float,
        report: Callable[[Search], None] = lambda search: None,
        most_trials: int = MOST_TRIALS,
        seed: int = 0,
    ) -> Search:
        """Try schedules for a call, by its key, until the `deadline` by `time.monotonic`, or there are no more.

        Each is compared in turns with the variant of the row `reference`; `report` is told of each batch, and of each
        schedule that is the fastest so far. A failure, also one of the process that proposes, costs a trial or the
        rest of the search, no more.
        """
        found = Search()
        self._proposer.start()
        self._proposer.say({"call": call, "seed": seed})
        while proposed := self._proposals(found):
            times: list[float | None] = []
            for text in proposed:
                if time.monotonic() >= deadline or found.trials >= most_trials:
                    self._proposer.end()  # it waits for the rest of the times
                    return found
                row = self._trial(call, text, reference, found)
                times.append(None if row is None else 1.0 / row.gain)
                if row is not None and (found.best is None or row.gain > found.best.gain):
                    found.best = row
                    report(found)
            report(found)
            self._proposer.say({"times": times})
        return found

    def _proposals(self, found: Search) -> Collection[str]:
        message = self._proposer.hear(PROPOSAL_PATIENCE_S)
        if "schedules" in message:
            schedules: list[str] = message["schedules"]
            return schedules
        lost, how = self._proposer.end()
        found.failures[lost] += 1
        found.last_words = f"the search {how}: {self._proposer.last_words()}"
        return []

    def _trial(self, call: str, text: str, reference: Row, found: Search) -> Row | None:
        """The row of a schedule with its gain over the default; None when it failed."""
        found.trials += 1
        tuning = self._measurer.measure(
            call,
            TRIAL_SECONDS,
            only=[reference.variant],
            schedules={METASCHEDULE: text},
            patience_s=TRIAL_PATIENCE_S,
        )
        row, other = tuning.measured.get(METASCHEDULE), tuning.measured.get(reference.variant)
        if row is not None and other is not None:
            return replace(row, gain=row.gain / other.gain * reference.gain)
        for failure in tuning.rows:
            if failure.outcome is not Outcome.MEASURED:
                found.failures[failure.outcome] += 1
                found.last_words = failure.detail
        return None
