"""Telling the moments in which the processor runs at full speed from others; times here are made up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest

from nascompiler.backends.measure.priority import Waits
from nascompiler.backends.measure.quiet import LIMIT, Quiet, probe_ns, quiet_runs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "quiet.json"


def probe(*times: float) -> Iterator[float]:
    return chain(times, repeat(times[-1]))


def made_up(path: Path, *times: float) -> Quiet:
    return Quiet(probe(*times).__next__, path)


def test_what_takes_longer_than_the_best_by_more_than_the_limit_is_disturbed(path):
    quiet = made_up(path, *[100.0] * 20, 100.0, 100.0 * LIMIT - 1, 100.0 * LIMIT + 1)
    assert [quiet.now(), quiet.now(), quiet.now()] == [True, True, False]


def test_a_better_best_counts_from_then_on_and_for_other_processes(path):
    first = made_up(path, *[150.0] * 20, 150.0, 100.0, 150.0)
    assert [first.now(), first.now(), first.now()] == [True, True, False]
    assert not made_up(path, 150.0).now()


def test_waiting_ends_with_a_quiet_moment_or_with_patience(path):
    quiet = made_up(path, *[100.0] * 20, 200.0, 200.0, 100.0, 200.0)
    assert quiet.wait(time.monotonic() + 60)
    assert not quiet.wait(time.monotonic() + 0.03)


def test_a_file_that_cannot_be_read_says_nothing(path):
    path.parent.mkdir()
    path.write_text("[]")
    assert made_up(path, 150.0).now()
    path.write_text("{")
    assert made_up(path, 150.0).now()


class Switched(Quiet):
    """Quiet or not as it was told last."""

    def __init__(self) -> None:
        self.is_quiet = True
        self.waits = Waits()

    def now(self) -> bool:
        return self.is_quiet


def test_only_quiet_runs_count_while_there_are_any():
    quiet, runs = Switched(), []

    def step() -> None:
        runs.append(quiet.is_quiet)
        quiet.is_quiet = len(runs) % 3 != 0

    times, disturbed = quiet_runs(step, quiet, seconds=0.0, fewest=4, patience_s=60.0)
    assert not disturbed
    assert len(times) == 4
    assert len(runs) > 6


def test_without_a_quiet_moment_the_runs_there_are_count_and_that_is_said():
    quiet = Switched()
    quiet.is_quiet = False
    times, disturbed = quiet_runs(lambda: None, quiet, seconds=0.0, fewest=4, patience_s=0.0)
    assert disturbed
    assert len(times) >= 4


def test_the_loop_takes_time():
    assert probe_ns() > 0
