"""Why a trial gave no result: a class that says whether trying again can help, and the cause in words."""

from __future__ import annotations

from enum import Enum

from nascompiler.ir.errors import Error


class FailureClass(Enum):
    """What went wrong with a trial."""

    BUILD = "build"
    TIME_OUT = "time-out"
    CRASH = "crash"
    WRONG_RESULT = "wrong result"
    DEVICE_LOST = "device lost"
    OUT_OF_MEMORY = "out of memory"
    DIVERGED = "diverged"
    HOPELESS = "hopeless"

    @property
    def may_pass(self) -> bool:
        """Whether the same trial can succeed when it is run once more: the cause may lie outside of it."""
        return self in _MAY_PASS


_MAY_PASS = {
    FailureClass.TIME_OUT,
    FailureClass.CRASH,
    FailureClass.DEVICE_LOST,
    FailureClass.OUT_OF_MEMORY,
}


class TrialFailure(Error):
    """A trial that ends without an evaluation; raised by evaluators and what they are made of."""

    def __init__(self, failure_class: FailureClass, message: str) -> None:
        super().__init__(message)
        self.failure_class = failure_class
