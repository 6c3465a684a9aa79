"""`nascompiler tune` on a tiny network, for real but short."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cache import VARIABLE
from nascompiler.backends.cpu.choice import METASCHEDULE
from nascompiler.backends.measure.schedules import ScheduleSearcher
from nascompiler.backends.store import Store
from nascompiler.cli.tune import parse_duration
from nascompiler.ir.builder import Builder
from nascompiler.ir.errors import UsageError
from nascompiler.ir.files import save


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """exp -> pooling -> linear: three calls, few ways to compute them."""
    generator = np.random.default_rng(0)
    builder = Builder("tiny")
    y = builder.nn.flatten(builder.nn.global_average_pool(builder.nn.exp(builder.input("x", (1, 4, 4, 8)))))
    weight = builder.constant(generator.standard_normal((8, 5)).astype(np.float32))
    path = tmp_path / "tiny.nir"
    save(builder.outputs(y=builder.nn.linear(y, weight)), path)
    return path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))


def test_tuning_measures_and_keeps_then_compiling_and_predicting_use_it(cli: Any, model: Path, tmp_path: Path):
    result = cli("tune", model, "-t", "cpu", "--budget", "10m", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["known"], found["left"]) == (0, 0)
    assert found["measured"] == len(found["calls"]) == 3
    assert all(call["ns"] > 0 and not call["failures"] for call in found["calls"])
    assert len(list(Store(tmp_path / "cache" / "measurements.sqlite").all())) == 3
    tuned = any(call["variant"] != call["default"] for call in found["calls"])
    assert (found["end_to_end"] is not None) == tuned

    again = cli("tune", model, "-t", "cpu", "--no-check")
    assert again.code == 0
    assert "0 calls measured now, 3 known before, 0 left" in again.err
    compiled = cli("compile", model, "-t", "cpu", "-o", tmp_path / "a", "--placement")
    assert compiled.code == 0
    assert "no measurement" not in compiled.out
    locked = cli("compile", model, "-t", "cpu", "-o", tmp_path / "b", "--locked", tmp_path / "a")
    assert locked.code == 0, locked.err
    first, second = (json.loads((tmp_path / name / "manifest.json").read_text()) for name in "ab")
    assert first["variants"] == second["variants"]

    import nascompiler as nc

    prediction = nc.predict(model)
    assert prediction.missing == {}
    rows = [row for _, _, tuning in Store(tmp_path / "cache" / "measurements.sqlite").all() for row in tuning.rows]
    taken = {(row.median_ns, row.warm_ns or row.median_ns) for row in rows}
    warm = [next(warm for ns, warm in taken if ns == call["ns"]) * len(call["nodes"]) for call in found["calls"]]
    assert prediction.latency.median_ns == pytest.approx(sum(warm))  # so small a network stays in the cache


def test_schedules_are_searched_for_with_what_is_left_of_the_budget(cli: Any, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(
        ScheduleSearcher.search, "__kwdefaults__", {**ScheduleSearcher.search.__kwdefaults__, "most_trials": 3}
    )
    builder = Builder("one")
    weight = builder.constant(np.random.default_rng(0).standard_normal((8, 24)).astype(np.float32))
    path = tmp_path / "one.nir"
    save(builder.outputs(y=builder.nn.linear(builder.input("x", (4, 8)), weight)), path)
    options = ("tune", path, "-t", "cpu", "--metaschedule", "--budget", "10m", "--no-check", "--json")
    result = cli(*options)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["measured"], found["searched"]) == (1, 1)
    assert "(cpu.linear): schedules tried: 1, the best " in result.err
    ((_, _, tuning),) = Store(tmp_path / "cache" / "measurements.sqlite").all()
    row = tuning.measured[METASCHEDULE]
    assert row.schedule.startswith("[[[")
    assert not list((tmp_path / "cache").rglob("*metaschedule*"))  # what is only tried is not kept
    again = cli(*options)
    assert again.code == 0
    assert json.loads(again.out)["searched"] == 0


def test_an_interruption_ends_with_its_code_and_leaves_no_process(tmp_path: Path):
    builder = Builder("long")
    y = builder.input("x", (1, 4))
    for size in range(5, 25):  # as many calls: it cannot be done before it is interrupted
        y = builder.nn.linear(y, builder.constant(np.ones((size - 1, size), np.float32)))
    path = tmp_path / "long.nir"
    save(builder.outputs(y=y), path)
    command = [sys.executable, "-m", "nascompiler", "tune", str(path), "-t", "cpu"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
    )
    assert process.stderr is not None
    line = process.stderr.readline()  # the first call is measured
    assert line.startswith("1/20"), line
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert "are kept; the same command goes on from there" in rest
    assert len(list(Store(tmp_path / "cache" / "measurements.sqlite").all())) >= 1
    time.sleep(0.1)
    assert not [p for p in Path("/proc").glob("[0-9]*") if str(tmp_path).encode() in _command_line(p)]


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400)])
def test_budgets(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "soon", "5d", "-3s", "1 m 2"])
def test_other_budgets_are_usage_errors(text):
    with pytest.raises(UsageError, match="write a time such as"):
        parse_duration(text)


def test_a_damaged_store_is_one_error_that_names_it(cli: Any, model: Path, tmp_path: Path):
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / "measurements.sqlite"
    path.write_bytes(b"nonsense" * 100)
    result = cli("tune", model, "-t", "cpu")
    assert result.code == 5
    assert str(path) in result.err
    assert len(result.err.splitlines()) == 1
