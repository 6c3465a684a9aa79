"""Trials in processes of this machine: a crash or a trial that hangs costs that trial, nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

from nascompiler.ir.errors import Error, UsageError
from nascompiler.search.executors.worker import READY
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.interfaces import EvaluatorRecipe
from nascompiler.search.trial import TrialOutcome, TrialSpec

LAST_WORDS = 2000
"""Characters of a dead worker's stderr that are kept."""

_STOP = None


class LocalProcesses:
    """`capacity` workers, each a process with an evaluator of its own; a dead one is replaced for the next trial.

    A trial that takes longer than `timeout_s` is ended with its process. `environment` is added to that of the
    workers. Raises UsageError when the recipe's own checks refuse, as soon as the first worker has begun.
    """

    def __init__(
        self,
        recipe: EvaluatorRecipe,
        capacity: int = 1,
        *,
        timeout_s: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if capacity < 1:
            raise UsageError(f"parallel is {capacity}; accepted: whole numbers from 1 on")
        self.capacity = capacity
        self._recipe, self._timeout_s = recipe, timeout_s
        self._environment = dict(environment or {})
        self._trials: queue.SimpleQueue[TrialSpec | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[TrialOutcome | Error] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(capacity)]
        self._processes: set[_Worker] = set()
        for thread in self._threads:
            thread.start()

    def submit(self, trial: TrialSpec) -> None:
        self._trials.put(trial)

    def wait(self, timeout_s: float | None = None) -> Sequence[TrialOutcome]:
        found: list[TrialOutcome] = []
        try:
            item = self._outcomes.get(timeout=timeout_s)
            while True:
                if isinstance(item, Error):
                    raise item
                found.append(item)
                item = self._outcomes.get_nowait()
        except queue.Empty:
            return found

    def close(self) -> None:
        self._closed.set()
        for _ in self._threads:
            self._trials.put(_STOP)
        for worker in list(self._processes):
            worker.kill()
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        """One thread for each worker: it waits for the process, so that nobody else has to."""
        worker: _Worker | None = None
        while (trial := self._trials.get()) is not _STOP and not self._closed.is_set():
            began = time.monotonic()
            try:
                if worker is None:
                    worker = _Worker(self._recipe, self._environment)
                    self._processes.add(worker)
                    worker.begin()
                outcome = worker.run(trial, self._timeout_s)
            except TrialFailure as failure:
                outcome = TrialOutcome(trial.number, failure, time.monotonic() - began, worker.name if worker else "")
                if worker is not None:
                    self._processes.discard(worker)
                    worker.kill()
                worker = None
            except Error as error:  # the evaluator cannot be made at all
                self._outcomes.put(error)
                break
            self._outcomes.put(outcome)
        if worker is not None:
            self._processes.discard(worker)
            worker.kill()


class _Worker:
    """A process with an evaluator."""

    def __init__(self, recipe: EvaluatorRecipe, environment: Mapping[str, str]) -> None:
        self._recipe = recipe
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by kill
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nascompiler.search.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, **environment},
            text=True,
            encoding="utf-8",
        )
        self.name = f"process {self._process.pid}"

    def begin(self) -> None:
        """Have the evaluator made; raises the error of ours that says why it cannot be."""
        recipe = {"factory": self._recipe.factory, "arguments": dict(self._recipe.arguments)}
        answer = self._exchange(json.dumps(recipe), None)
        if answer != READY:
            error = json.loads(answer)
            raise _refusal(error["error"], error["exit_code"])

    def run(self, trial: TrialSpec, timeout_s: float | None) -> TrialOutcome:
        """Raises TrialFailure when the process dies or takes too long."""
        return TrialOutcome.from_json(json.loads(self._exchange(json.dumps(trial.to_json()), timeout_s)))

    def kill(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._process.wait()
        with contextlib.suppress(ValueError):  # another thread has closed it just now
            self._errors.close()

    def _exchange(self, line: str, timeout_s: float | None) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(timeout_s, give_up) if timeout_s is not None else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        answer = ""
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except (OSError, ValueError):
            pass  # it died; below it is said how
        finally:
            if timer is not None:
                timer.cancel()
        if answer:
            return answer.rstrip("\n")
        if late.is_set():
            raise TrialFailure(FailureClass.TIME_OUT, f"took longer than {timeout_s:g} s")
        raise self._death()

    def _death(self) -> TrialFailure:
        code = self._process.wait()
        try:
            size = self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, size - LAST_WORDS))
            words = self._errors.read().decode("utf-8", "replace").strip()
        except ValueError:  # closed meanwhile
            words = ""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        kind = FailureClass.OUT_OF_MEMORY if code == -9 else FailureClass.CRASH  # 9: what the kernel sends then
        return TrialFailure(kind, f"the process ended with {how}" + (f": {words}" if words else ""))


def _refusal(message: str, exit_code: int) -> Error:
    error = UsageError(message)
    error.exit_code = exit_code
    return error
