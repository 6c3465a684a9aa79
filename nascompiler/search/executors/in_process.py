"""Trials one after the other in this process, for short ones and for tests: a crash takes the search with it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from nascompiler.search.executors.running import run_trial
from nascompiler.search.interfaces import Evaluator
from nascompiler.search.trial import TrialOutcome, TrialSpec


class InProcess:
    """Runs a trial when it is waited for, in the order of submission."""

    capacity = 1

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._submitted: deque[TrialSpec] = deque()

    def submit(self, trial: TrialSpec) -> None:
        self._submitted.append(trial)

    def wait(self, timeout_s: float | None = None) -> Sequence[TrialOutcome]:
        if not self._submitted:
            return []
        began = time.monotonic()
        trial = self._submitted.popleft()
        return [TrialOutcome(trial.number, run_trial(self._evaluator, trial), time.monotonic() - began, "in process")]

    def close(self) -> None:
        self._submitted.clear()
