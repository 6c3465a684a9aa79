"""Evaluators for clusters in tests: workers of Ray import this module by name."""

from __future__ import annotations

import os
import time
from pathlib import Path

import ray

from nascompiler.backends.measure import Kind
from nascompiler.ir.errors import UsageError
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.trial import TrialSpec


class Slow:
    """Takes its time over each trial, and leaves a line in `log` when it begins one; some ways to fail by seed."""

    def __init__(self, log: str, seconds: float) -> None:
        self.log, self.seconds = Path(log), seconds

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        node = ray.get_runtime_context().get_node_id()
        with self.log.open("a") as file:
            file.write(f"{trial.number} {node}\n")
        if trial.seed == -1:
            raise TrialFailure(FailureClass.DIVERGED, "the loss is no number")
        if trial.seed == -2:
            raise ZeroDivisionError("a fault of the evaluator")
        if trial.seed == -3:
            os._exit(7)
        time.sleep(self.seconds)
        latency = TargetLatency(1e6 + trial.number, Kind.MEASURED)
        return Evaluation(1 / (1 + trial.number), {"cpu": latency}, trial.number, 10 * trial.number)


def refuse() -> Slow:
    raise UsageError("there is no such data")
