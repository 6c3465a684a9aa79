"""One trial through an evaluator, whatever happens in it."""

from __future__ import annotations

import traceback

from nascompiler.ir.errors import Error
from nascompiler.search.evaluation import Evaluation
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.interfaces import Evaluator
from nascompiler.search.trial import TrialSpec


def run_trial(evaluator: Evaluator, trial: TrialSpec) -> Evaluation | TrialFailure:
    """The evaluation, or the failure that it raised; any other exception is a failure too.

    Errors of ours that carry no class come from lowering and compiling, and will come again: build. Others are a
    crash, with the last lines of their traceback.
    """
    try:
        return evaluator.evaluate(trial)
    except TrialFailure as failure:
        return failure
    except MemoryError as error:
        return TrialFailure(FailureClass.OUT_OF_MEMORY, str(error) or "no memory left")
    except Error as error:
        return TrialFailure(FailureClass.BUILD, str(error))
    except Exception:
        return TrialFailure(FailureClass.CRASH, "".join(traceback.format_exc(limit=-3)).strip())
