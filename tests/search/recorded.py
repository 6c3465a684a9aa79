"""Evaluators that look results up in the synthetic table: what a search does must not depend on when they answer."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from nascompiler.backends.measure import Kind
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.executors import InProcess
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.interfaces import Evaluator
from nascompiler.search.objective import PRESETS, Exponents, Objective
from nascompiler.search.trial import TrialOutcome, TrialSpec
from tests.search.synthetic import worths

OBJECTIVE = Objective(Exponents(*PRESETS["soft"]), {"cpu": 4e6})


class Recorded:
    """The evaluation of a trial by its vector; `failing` says which fail and how."""

    def __init__(self, failing: Callable[[TrialSpec], FailureClass | None] = lambda trial: None) -> None:
        self.failing = failing
        self.evaluated: list[int] = []

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        self.evaluated.append(trial.number)
        failure = self.failing(trial)
        if failure is not None:
            raise TrialFailure(failure, f"trial {trial.number} was told to fail")
        accuracy, ns = worths()[trial.vector]
        latency = TargetLatency(ns, Kind.MEASURED, 0.01 * ns, 10)
        return Evaluation(accuracy, {"cpu": latency}, int(ns / 10), int(ns), (accuracy / 2, accuracy))


class Slow(Recorded):
    """Takes long enough to be interrupted."""

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        time.sleep(0.2)
        return super().evaluate(trial)


class Shuffled:
    """Ends trials in random order, one at a time."""

    def __init__(self, evaluator: Evaluator, capacity: int, seed: int) -> None:
        self.capacity = capacity
        self._evaluator = evaluator
        self._random = random.Random(seed)
        self._submitted: list[TrialSpec] = []

    def submit(self, trial: TrialSpec) -> None:
        self._submitted.append(trial)

    def wait(self, timeout_s: float | None = None) -> Sequence[TrialOutcome]:
        one = InProcess(self._evaluator)
        one.submit(self._submitted.pop(self._random.randrange(len(self._submitted))))
        return one.wait()

    def close(self) -> None:
        self._submitted.clear()
