"""What becomes of proposed schedules: the fastest is found, failures are counted. Both processes here are scripts."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from nascompiler.backends.cpu.choice import METASCHEDULE
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.schedules import ScheduleSearcher, Search
from nascompiler.backends.store import Outcome, Row
from nascompiler.backends.target import parse_target
from nascompiler.ir.builder import Builder

MEASURER = """
import json, os, sys
def say(**message):
    print(json.dumps(message), flush=True)
say(ready=True)
for line in sys.stdin:
    request = json.loads(line)
    (default,) = request["only"]
    rows = [{"variant": default, "median_ns": 10.0, "spread_ns": 0.5, "repeats": 9, "gain": 1.0}]
    for name, text in request["schedules"].items():
        if name not in request["skip"]:
            say(at="check", variant=name)
            if text == "crash": os.abort()
            if text == "wrong": say(failed=name, outcome="wrong result", detail="off by one")
            else: rows.append({**rows[0], "variant": name, "gain": float(text)})
    say(rows=rows, noise=0.01)
"""

PROPOSER = """
import json, os, sys
def say(message):
    print(json.dumps(message), flush=True)
say({"ready": True})
batches = iter(json.loads(sys.argv[1]))
for line in sys.stdin:
    print(line, end="", file=sys.stderr, flush=True)
    batch = next(batches)
    if batch == "crash": os.abort()
    say({"schedules": batch})
"""

REFERENCE = Row("default", median_ns=10.0, gain=1.0)


def run(tmp_path: Path, batches: str, seconds: float = 60.0) -> tuple[Search, list[tuple[int, float]], str]:
    for name, script in (("measurer.py", MEASURER), ("proposer.py", PROPOSER)):
        (tmp_path / name).write_text(script)
    builder = Builder("g")
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", (1, 4))))
    command = [sys.executable, str(tmp_path / "measurer.py")]
    reports: list[tuple[int, float]] = []

    def report(search: Search) -> None:
        reports.append((search.trials, search.best.gain if search.best else 0.0))

    with KernelMeasurer(graph, parse_target("cpu"), command=command) as measurer:
        proposer = [sys.executable, str(tmp_path / "proposer.py"), batches]
        with ScheduleSearcher(measurer, command=proposer) as searcher:
            found = searcher.search("call", REFERENCE, deadline=time.monotonic() + seconds, report=report)
            said = Path(measurer.arguments[0]).with_name("search.txt").read_text()
    return found, reports, said


def test_the_fastest_is_found_and_failures_are_counted_by_class(tmp_path: Path):
    found, reports, said = run(tmp_path, '[["0.5", "wrong", "crash"], ["2.0", "1.5", "wrong"], []]')
    assert (found.trials, found.failures) == (6, {Outcome.WRONG_RESULT: 2, Outcome.CRASH: 1})
    assert found.best is not None
    assert (found.best.variant, found.best.gain, found.best.schedule) == (METASCHEDULE, 2.0, "2.0")
    assert reports == [(1, 0.5), (3, 0.5), (4, 2.0), (6, 2.0)]
    assert '{"times": [2.0, null, null]}' in said
    assert found.failure.outcome is Outcome.WRONG_RESULT
    assert "6 schedules: 2 wrong result, 1 crash" in found.failure.detail


def test_a_search_that_crashes_keeps_what_was_found(tmp_path: Path):
    found, _, _ = run(tmp_path, '[["0.5"], "crash"]')
    assert found.best is not None
    assert found.failures == {Outcome.CRASH: 1}
    assert "SIGABRT" in found.last_words


def test_nothing_is_tried_after_the_deadline(tmp_path: Path):
    found, _, _ = run(tmp_path, '[["0.5"], []]', seconds=-1.0)
    assert (found.trials, found.best) == (0, None)
