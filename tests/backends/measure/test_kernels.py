"""Measuring in another process: what a worker says, and what becomes of crashes and hangs. Workers here are scripts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.store import Outcome
from nascompiler.backends.target import parse_target
from nascompiler.ir.builder import Builder

SCRIPT = """
import json, os, sys, time
def say(**message):
    print(json.dumps(message), flush=True)
say(ready=True)
for line in sys.stdin:
    request = json.loads(line)
    if "together" in request:
        say(at="measure", variant="")
        if "crash" in request["together"]: os.abort()
        say(times={key: {"median_ns": 7.0} for key in request["together"]})
        continue
    for name in [n for n in request["call"].split() if n not in request["skip"]]:
        say(at="measure" if name == "late" else "check", variant=name)
        if name in ("crash", "late"): os.abort()
        if name == "exit": sys.exit(3)
        if name == "hang": time.sleep(600)
        if name == "wrong": say(failed=name, outcome="wrong result", detail="off by one")
    good = [n for n in request["call"].split() if n.startswith("good")]
    rows = [{"variant": n, "median_ns": 5.0, "spread_ns": 0.5, "repeats": 9, "gain": 1.0} for n in good]
    say(rows=rows, noise=0.03)
"""


def measurer(tmp_path: Path, script: str = SCRIPT, patience_s: float = 10.0) -> KernelMeasurer:
    (tmp_path / "worker.py").write_text(script)
    builder = Builder("g")
    graph = builder.outputs(y=builder.nn.relu(builder.input("x", (1, 4))))
    command = [sys.executable, str(tmp_path / "worker.py")]
    return KernelMeasurer(graph, parse_target("cpu"), command=command, patience_s=patience_s)


def test_rows_come_back_with_the_failures_of_each_class(tmp_path):
    with measurer(tmp_path, patience_s=2.0) as worker:
        tuning = worker.measure("good1 crash wrong exit hang good2", 0.0)
        assert {row.variant: row.outcome for row in tuning.rows} == {
            "good1": Outcome.MEASURED,
            "good2": Outcome.MEASURED,
            "crash": Outcome.CRASH,
            "exit": Outcome.CRASH,
            "hang": Outcome.TIME_OUT,
            "wrong": Outcome.WRONG_RESULT,
        }
        details = {row.variant: row.detail for row in tuning.rows}
        assert "SIGABRT" in details["crash"]
        assert "exit code 3" in details["exit"]
        assert details["wrong"] == "off by one"
        assert tuning.noise == 0.03
        assert worker.measure("good1", 0.0).measured["good1"].median_ns == 5.0


def test_a_crash_that_no_variant_is_to_blame_for_ends_the_call_only(tmp_path):
    with measurer(tmp_path) as worker:
        assert [row.outcome for row in worker.measure("good1 late", 0.0).rows] == [Outcome.CRASH]
        assert worker.measure("good1", 0.0).measured


def test_calls_are_timed_together_or_not_at_all(tmp_path):
    with measurer(tmp_path) as worker:
        assert worker.measure_together({"a": "good", "b": "good"}, 0.1) == {
            "a": {"median_ns": 7.0},
            "b": {"median_ns": 7.0},
        }
        assert worker.measure_together({"a": "good", "crash": "good"}, 0.1) == {}
        assert worker.measure("good1", 0.0).measured


def test_a_worker_that_cannot_start_is_an_error_with_its_last_words(tmp_path):
    with measurer(tmp_path, "raise SystemExit('no such luck')") as worker:
        with pytest.raises(DeviceError, match=r"exit code 1: no such luck"):
            worker.measure("good", 0.0)


def test_nothing_is_left_running(tmp_path):
    with measurer(tmp_path) as worker:
        worker.measure("good", 0.0)
        process = Path(f"/proc/{worker.pid}")
        assert process.exists()
    assert not process.exists()
