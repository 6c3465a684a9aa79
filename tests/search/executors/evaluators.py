"""Evaluators that misbehave, for workers of their own."""

from __future__ import annotations

import os
import signal
import sys
import time

from nascompiler.ir import ModelError, UsageError
from nascompiler.search.evaluation import Evaluation
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.trial import TrialSpec


class Misbehaving:
    """What a trial does is decided by its number."""

    def __init__(self, started: int) -> None:
        self.started = started

    def evaluate(self, trial: TrialSpec) -> Evaluation:
        print("libraries print what they like")
        if trial.number == 1:
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        elif trial.number == 2:
            time.sleep(60)
        elif trial.number == 3:
            raise TrialFailure(FailureClass.DIVERGED, "the loss is not a number")
        elif trial.number == 4:
            raise ModelError("no such kernel")
        elif trial.number == 5:
            raise ZeroDivisionError("by me")
        details = {"process": os.getpid(), "started": self.started, "graph": str(trial.graph)}
        return Evaluation(0.5, {}, trial.seed, len(trial.vector), (), details)


def misbehaving(started: int) -> Misbehaving:
    return Misbehaving(started)


def refusing(reason: str) -> Misbehaving:
    raise UsageError(reason)
