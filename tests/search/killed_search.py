"""Runs a search on the recorded table in children that are killed (SIGKILL), until one comes to its end.

`python -m tests.search.killed_search STUDY CONTROLLER KILLS SEED`: each of the first KILLS children is killed at a
random point: after some steps of SQLite's machine, or some time after it has evaluated some trials. Neither gets
through more than a part of the search, however fast the machine is. Prints how many were killed.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nascompiler.search.executors import InProcess
from nascompiler.search.failures import FailureClass
from nascompiler.search.loop import Plan, Search
from nascompiler.search.study import Study
from nascompiler.search.trial import TrialSpec
from tests.search.recorded import OBJECTIVE, Recorded, Shuffled
from tests.search.synthetic import space, worths

TRIALS = 160
IN_FLIGHT = 3

MOST_STEPS, MOST_EVALUATIONS, MOST_S = 1500, 8, 0.002
"""Bounds of the random points: so many that a child gets through a part of the search only."""


def failing(trial: TrialSpec) -> FailureClass | None:
    return FailureClass.DIVERGED if trial.number % 17 == 5 else None


def search(
    path: Path,
    controller: str,
    *,
    shuffled_by: int | None = None,
    failing: Callable[[TrialSpec], FailureClass | None] = failing,
) -> None:
    """Begin or resume the study, and go to its end."""
    begun = path.exists() and Study.has_begun(path)
    study = Study.resume(path) if begun else Study.create(path, {"controller": controller})
    evaluator = Recorded(failing)
    executor = InProcess(evaluator) if shuffled_by is None else Shuffled(evaluator, IN_FLIGHT, shuffled_by)
    with study:
        study.begin_session({})
        Search(space(), OBJECTIVE, study, executor, Plan(controller, "small", 1, TRIALS, IN_FLIGHT)).run()


def killed_after(steps: int) -> None:
    """Have this process killed after so many steps of SQLite's machine."""
    left = [steps]

    def step() -> int:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    connect = sqlite3.connect

    def watched(*arguments: object, **options: object) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*arguments, **options)  # type: ignore[call-overload]
        db.set_progress_handler(step, 1)
        return db

    sqlite3.connect = watched  # type: ignore[assignment]


def telling(pipe: int, evaluations: int) -> Callable[[TrialSpec], FailureClass | None]:
    """`failing`, which closes the pipe at the evaluation of this number, counted from zero."""
    left = itertools.count(-evaluations)

    def told(trial: TrialSpec) -> FailureClass | None:
        if next(left) == 0:
            os.close(pipe)
        return failing(trial)

    return told


def main() -> None:
    path, controller, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    points = random.Random(seed)
    worths()
    killed = 0
    for number in range(kills + 1):
        by_steps = number < kills and points.random() < 0.5
        by_time = number < kills and not by_steps
        steps, seconds = points.randrange(1, MOST_STEPS), points.uniform(0, MOST_S)
        evaluations = points.randrange(MOST_EVALUATIONS)
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(heard)
            if by_steps:
                killed_after(steps)
            search(path, controller, shuffled_by=number, failing=telling(told, evaluations) if by_time else failing)
            os._exit(0)
        os.close(told)
        if by_time:
            os.read(heard, 1)  # returns when the child has closed its end
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        os.close(heard)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            killed += 1
        elif os.WEXITSTATUS(status):
            sys.exit(f"child {number} failed with {os.WEXITSTATUS(status)}")
    print(killed)


if __name__ == "__main__":
    main()
