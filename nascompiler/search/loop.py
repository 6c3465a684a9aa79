"""The loop: ask the controller, evaluate through an executor, tell in the order of asking, write everything down.

Trials that run at once end in any order; the controller is told of them in the order in which it was asked, and is
asked again only then. So what it proposes depends on nothing but the seed and the evaluations, and a search that was
killed goes on as if it had not been: what the study knows of a trial is taken from there, and the rest is run.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from nascompiler.ir.errors import UsageError
from nascompiler.search import controllers
from nascompiler.search.errors import SearchError, StudyError
from nascompiler.search.failures import FailureClass
from nascompiler.search.floors import FloorRule
from nascompiler.search.interfaces import Controller, Executor
from nascompiler.search.objective import Objective
from nascompiler.search.progress import Listener, Progress
from nascompiler.search.study import Checkpoint, Study, TrialRecord
from nascompiler.search.trial import TrialSpec
from nascompiler.spaces import SearchSpace, Vector

CHECKPOINT_EVERY = 50
"""Trials between two checkpoints; those after the last one are replayed on resuming."""

FAILURES_AT_FIRST = 8
"""When so many trials ended and all failed, the search ends: the cause lies not in the architectures."""


@dataclass(frozen=True)
class Plan:
    """What the loop needs to know beside its parts.

    `in_flight` trials are asked for before the first of them is told; `attempts` bounds how often a trial is run whose
    failure may pass.
    """

    controller: str
    preset: str
    seed: int
    trials: int
    in_flight: int = 1
    attempts: int = 3
    floor_rule: FloorRule = field(default_factory=FloorRule)

    def __post_init__(self) -> None:
        for name in ("trials", "in_flight", "attempts"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; accepted: whole numbers from 1 on")


class Search:
    """One run of the loop on a study, from where it stands to the end of the plan."""

    def __init__(
        self,
        space: SearchSpace,
        objective: Objective,
        study: Study,
        executor: Executor,
        plan: Plan,
        listener: Listener = lambda progress: None,
    ) -> None:
        self._space, self._objective, self._study, self._executor = space, objective, study, executor
        self._plan, self._listener = plan, listener
        self._records = study.trials()
        self._submitted: set[int] = set()
        checkpoint = study.checkpoint()
        self._controller: Controller
        if checkpoint is None:
            self._controller = controllers.create(plan.controller, space, seed=plan.seed, preset=plan.preset)
            self._asked = self._told = 0
        else:
            self._controller = controllers.restore(plan.controller, space, checkpoint.state)
            self._asked, self._told = checkpoint.asked, checkpoint.told
        self._evaluated: dict[Vector, int] = {}
        self._best: tuple[float, TrialRecord] | None = None
        self._failures: Counter[str] = Counter()
        for record in self._records[: self._told]:
            self._remember(record)
        self._began = time.monotonic()
        self._evaluated_here = 0

    def run(self) -> list[TrialRecord]:
        """All trials of the study; raises SearchError when the first ones all fail, StudyError as the study does."""
        for record in self._records[self._told : self._asked]:
            self._start(record)
        self._report(None)
        while self._told < max(self._plan.trials, len(self._records)):
            while self._may_ask():
                self._ask()
            if self._told == self._asked:
                break
            self._tell(self._wait_for(self._told))
        return list(self._records)

    def retry(self, classes: Collection[FailureClass]) -> int:
        """Run trials that failed in these ways once more; how many succeeded.

        The controller was told of their failure and is not told again, so that its proposals stay what they were.
        """
        failed = [r for r in self._records if r.failure is not None and r.failure.failure_class in classes]
        for record in failed:
            self._submit(record)
        for record in failed:
            self._wait_for(record.number, again=False)
        return sum(self._records[record.number].evaluation is not None for record in failed)

    def _may_ask(self) -> bool:
        if self._asked < len(self._records):
            return self._records[self._asked].told_before == self._told
        return self._asked < self._plan.trials and self._asked - self._told < self._plan.in_flight

    def _ask(self) -> None:
        number, vector = self._asked, self._controller.ask()
        self._asked += 1
        if number < len(self._records):
            if self._records[number].vector != vector:
                raise StudyError(
                    f"{self._study.path}: trial {number} is not the one that the controller asks for now; the study "
                    "was made by another version, or on a machine that computes otherwise: begin a new one"
                )
        else:
            record = TrialRecord(
                number, vector, trial_seed(self._plan.seed, number), self._told, repeats=self._evaluated.get(vector)
            )
            self._records.append(self._study.add_trial(record))
        self._start(self._records[number])

    def _start(self, record: TrialRecord) -> None:
        """Have it run, unless its result is known."""
        if record.repeats is not None:
            evaluation = self._records[record.repeats].evaluation
            self._records[record.number] = replace(record, evaluation=evaluation)
        elif record.told is None and not self._is_over(record):
            self._submit(record)

    def _is_over(self, record: TrialRecord) -> bool:
        """Whether it was evaluated, or failed in a way that is not tried again, or too often."""
        if record.evaluation is not None or not record.failures:
            return record.evaluation is not None
        return not record.failures[-1].failure_class.may_pass or len(record.failures) >= self._plan.attempts

    def _submit(self, record: TrialRecord) -> None:
        floors = self._plan.floor_rule.floors(self._records[: record.told_before])
        graph = self._space.architecture(record.vector)
        self._executor.submit(TrialSpec(record.number, record.vector, graph, record.seed, floors))
        self._submitted.add(record.number)

    def _wait_for(self, number: int, *, again: bool = True) -> TrialRecord:
        """The trial when it is over. All that end meanwhile are written down, and run `again` if that may help."""
        while number in self._submitted:
            for outcome in self._executor.wait():
                self._submitted.discard(outcome.number)
                record = self._study.add_outcome(self._records[outcome.number], outcome)
                self._records[outcome.number] = record
                self._evaluated_here += 1
                if again and not self._is_over(record):
                    self._submit(record)
        return self._records[number]

    def _tell(self, record: TrialRecord) -> None:
        if record.told is None:
            reward = 0.0 if record.evaluation is None else self._objective.reward(record.evaluation)
            record = self._records[record.number] = self._study.set_told(record, reward)
        assert record.told is not None
        self._controller.tell(record.vector, record.told)
        self._told += 1
        self._remember(record)
        if self._told % CHECKPOINT_EVERY == 0 or self._told == self._plan.trials:
            self._study.add_checkpoint(Checkpoint(self._asked, self._told, self._controller.state()))
        self._report(record)
        if self._told == FAILURES_AT_FIRST:
            self._check_failures()

    def _remember(self, record: TrialRecord) -> None:
        if record.evaluation is None:
            self._failures.update([record.failures[-1].failure_class.value])
            return
        self._evaluated.setdefault(record.vector, record.number)
        reward = self._objective.reward(record.evaluation)
        if reward > 0 and (self._best is None or reward > self._best[0]):
            self._best = reward, record

    def _check_failures(self) -> None:
        failures = [record.failure for record in self._records[: self._told]]
        if all(failures):
            counts = Counter(failure.failure_class.value for failure in failures if failure)
            classes = ", ".join(f"{count} × {name}" for name, count in counts.most_common())
            last = next(failure.message for failure in reversed(failures) if failure)
            raise SearchError(
                f"the first {self._told} trials all failed ({classes}), so the search ends; the last one: {last}"
            )

    def _report(self, latest: TrialRecord | None) -> None:
        self._listener(
            Progress(
                self._told,
                self._plan.trials,
                latest,
                self._best[1] if self._best else None,
                tuple(sorted(self._submitted)),
                self._failures.copy(),
                time.monotonic() - self._began,
                self._evaluated_here,
            )
        )


def trial_seed(seed: int, number: int) -> int:
    """The seed of a trial, 31 bits: unlike for neighbouring numbers and seeds, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "little") >> 1
