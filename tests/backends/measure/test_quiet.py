"""Telling the moments in which the processor runs at full speed from others; times here are made up."""

from __future__ import annotations

import time
from itertools import chain, count, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest

from nascompiler.backends.measure.priority import Waits
from nascompiler.backends.measure.quiet import _FIRST_LOOKS, LIMIT, Quiet, probe_ns, quiet_runs


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "quiet.json"


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def made_up(path: Path, *times: float, clock: Clock | None = None) -> Quiet:
    """The loop takes the first time while it is made, then the others in turn, the last one for ever."""
    probe = chain(repeat(times[0], _FIRST_LOOKS), times[1:], repeat(times[-1]))
    return Quiet(probe.__next__, path, clock=clock or Clock())


def test_what_takes_longer_than_the_best_by_more_than_the_limit_is_disturbed(path):
    quiet = made_up(path, 100.0, 100.0, 100.0 * LIMIT - 1, 100.0 * LIMIT + 1)
    assert [quiet.now(), quiet.now(), quiet.now()] == [True, True, False]


def test_a_better_best_counts_from_then_on_and_for_other_processes(path):
    clock = Clock()
    first = made_up(path, 150.0, 150.0, 100.0, 150.0, clock=clock)
    assert [first.now(), first.now(), first.now()] == [True, True, False]
    clock.s += 2
    again = made_up(path, 150.0, 100.0, 150.0, clock=clock)
    assert [again.now(), again.now()] == [True, False]
    assert not made_up(path, 150.0, clock=clock).now()


def test_a_best_that_is_not_reached_again_is_forgotten_little_by_little(path):
    clock = Clock()
    quiet = made_up(path, 100.0, 130.0, clock=clock)
    assert not quiet.now()
    clock.s += 300
    assert not quiet.now()
    clock.s += 1500
    assert quiet.now()
    assert quiet.best_ns == 130.0


def test_waiting_ends_with_a_quiet_moment_or_with_patience(path):
    quiet = made_up(path, 100.0, 200.0, 200.0, 100.0, 200.0)
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
        self.looks = 0
        self.waits = Waits()

    def now(self) -> bool:
        self.looks += 1
        return self.is_quiet


def test_only_quiet_runs_count_while_there_are_any():
    quiet, runs = Switched(), []

    def step() -> None:
        runs.append(quiet.is_quiet)
        quiet.is_quiet = len(runs) % 3 != 0
        time.sleep(0.001)

    times, disturbed = quiet_runs(step, quiet, seconds=0.0, fewest=4, patience_s=60.0)
    assert not disturbed
    assert len(times) == 4
    assert len(runs) > 6


def test_short_runs_come_several_in_a_row(monkeypatch):
    quiet, at = Switched(), []
    monkeypatch.setattr(quiet, "waits", SimpleNamespace(ns=lambda: 0, since=lambda before: 0))
    monkeypatch.setattr(time, "perf_counter_ns", count(0, 50_000).__next__)
    times, _ = quiet_runs(lambda: at.append(quiet.looks), quiet, seconds=0.0, fewest=1, patience_s=60.0)
    assert times == [50_000.0] * 6
    assert at == [0] + [1] * 7  # once to begin, once to fill caches, and those that were timed, between two looks
    assert quiet.looks == 2


def test_without_a_quiet_moment_the_runs_there_are_count_and_that_is_said():
    quiet = Switched()
    quiet.is_quiet = False
    times, disturbed = quiet_runs(lambda: None, quiet, seconds=0.0, fewest=4, patience_s=0.0)
    assert disturbed
    assert len(times) >= 4


def test_the_loop_takes_time():
    assert probe_ns() > 0
