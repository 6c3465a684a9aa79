import os
import signal
import time

import pytest

from nascompiler.ir import UsageError
from nascompiler.search.evaluation import Evaluation
from nascompiler.search.executors import InProcess, LocalProcesses
from nascompiler.search.failures import FailureClass
from nascompiler.search.interfaces import EvaluatorRecipe
from nascompiler.search.trial import TrialSpec
from tests.search.executors.evaluators import Misbehaving
from tests.search.synthetic import space

RECIPE = EvaluatorRecipe("tests.search.executors.evaluators:misbehaving", {"started": 7})


def trial(number):
    vector = space().encode(space().sample(number))
    return TrialSpec(number, vector, space().architecture(vector), number + 100)


def ended(executor, numbers):
    """The results by number of trials that are run together."""
    for number in numbers:
        executor.submit(trial(number))
    found = []
    while len(found) < len(numbers):
        found.extend(executor.wait())
    assert sorted(outcome.number for outcome in found) == sorted(numbers)
    return {outcome.number: outcome for outcome in found}


def check(outcomes):
    assert isinstance(outcomes[0].result, Evaluation)
    assert outcomes[0].result.details["graph"] == str(trial(0).graph)
    assert outcomes[0].result.parameters == 100
    classes = {n: outcome.result.failure_class for n, outcome in outcomes.items() if n in (3, 4, 5)}
    assert classes == {3: FailureClass.DIVERGED, 4: FailureClass.BUILD, 5: FailureClass.CRASH}
    assert str(outcomes[4].result) == "no such kernel"
    assert "ZeroDivisionError: by me" in str(outcomes[5].result)


def test_in_process():
    executor = InProcess(Misbehaving(7))
    check(ended(executor, [0, 3, 4, 5]))
    assert executor.wait() == []


def test_whatever_a_trial_does_gives_one_outcome():
    executor = LocalProcesses(RECIPE, 2, timeout_s=20.0)
    try:
        outcomes = ended(executor, [0, 1, 3, 4, 5, 6, 7])
        check(outcomes)
        crash = outcomes[1].result
        assert crash.failure_class is FailureClass.CRASH
        assert "signal 11" in str(crash)
        assert "last words" in str(crash)
        assert outcomes[6].result.details["started"] == 7
        assert outcomes[6].worker == f"process {outcomes[6].result.details['process']}"
    finally:
        executor.close()


def test_a_trial_that_takes_too_long_is_ended():
    executor = LocalProcesses(RECIPE, 1, timeout_s=1.0)
    try:
        outcomes = ended(executor, [2, 0])
        assert outcomes[2].result.failure_class is FailureClass.TIME_OUT
        assert "longer than 1 s" in str(outcomes[2].result)
        assert isinstance(outcomes[0].result, Evaluation)
    finally:
        executor.close()


def test_workers_are_gone_when_it_is_closed():
    executor = LocalProcesses(RECIPE, 1)
    process = ended(executor, [0])[0].result.details["process"]
    executor.submit(trial(2))
    time.sleep(0.2)
    began = time.monotonic()
    executor.close()
    assert time.monotonic() - began < 20
    with pytest.raises(ProcessLookupError):
        os.kill(process, signal.SIG_DFL)


def test_an_evaluator_that_cannot_be_made_is_no_failure_of_a_trial():
    executor = LocalProcesses(EvaluatorRecipe("tests.search.executors.evaluators:refusing", {"reason": "one class"}))
    try:
        executor.submit(trial(0))
        with pytest.raises(UsageError, match="one class"):
            executor.wait()
    finally:
        executor.close()


def test_a_number_of_workers_below_one_is_refused():
    with pytest.raises(UsageError, match="parallel is 0"):
        LocalProcesses(RECIPE, 0)
