"""A process that runs trials: `python -m nascompiler.search.executors.worker`.

On stdin one line of JSON with the recipe of the evaluator, then one for each trial; on stdout, after "ready", one line
for each outcome. What libraries print goes to stderr. When stdin ends, the process does, in the middle of a trial too:
whoever asked for it is gone.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from typing import TextIO

from nascompiler.ir.errors import Error
from nascompiler.search.executors.running import run_trial
from nascompiler.search.interfaces import EvaluatorRecipe
from nascompiler.search.trial import TrialOutcome, TrialSpec

READY = "ready"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True).start()
    recipe = json.loads(lines.get())
    try:
        evaluator = EvaluatorRecipe(recipe["factory"], recipe["arguments"]).build()
    except Error as error:
        print(json.dumps({"error": str(error), "exit_code": error.exit_code}), file=answers, flush=True)
        return
    print(READY, file=answers, flush=True)
    while True:
        trial = TrialSpec.from_json(json.loads(lines.get()))
        began = time.monotonic()
        result = run_trial(evaluator, trial)
        outcome = TrialOutcome(trial.number, result, time.monotonic() - began, f"process {os.getpid()}")
        print(json.dumps(outcome.to_json()), file=answers, flush=True)


def _read(source: TextIO, lines: queue.SimpleQueue[str]) -> None:
    for line in source:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
