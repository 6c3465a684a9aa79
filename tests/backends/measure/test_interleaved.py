"""Timing in turns, on ways whose times are made up."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from nascompiler.backends.measure import interleaved
from nascompiler.backends.measure.interleaved import (
    FEWEST_ROUNDS,
    SMALLEST_NOISE,
    TRIAL_ROUNDS,
    WARM_ROUNDS,
    Interleaved,
    measure_interleaved,
)
from nascompiler.backends.measure.priority import Waits
from nascompiler.backends.measure.quiet import Quiet


def made_up(times: dict[str, float], jitter: float = 0.0, drift: float = 0.0) -> tuple[Interleaved, dict[str, int]]:
    generator = np.random.default_rng(1)
    counts = dict.fromkeys(times, 0)

    def run(name: str) -> float:
        counts[name] += 1
        return times[name] * (1 + drift * sum(counts.values())) * (1 + jitter * generator.standard_normal())

    return measure_interleaved({name: lambda name=name: run(name) for name in times}, "a", seconds=0), counts


def test_gains_are_relative_to_the_default_and_without_jitter_there_is_least_noise():
    found, _ = made_up({"a": 100.0, "b": 80.0, "c": 110.0})
    assert found.noise == SMALLEST_NOISE
    assert {name: t.gain for name, t in found.timings.items()} == pytest.approx({"a": 1.0, "b": 1.25, "c": 100 / 110})
    assert found.timings["b"].median_ns == 80.0
    assert found.timings["b"].spread_ns == 0.0


def test_every_way_runs_in_every_round_and_the_default_twice_but_hopeless_ones_stop():
    found, counts = made_up({"a": 100.0, "b": 90.0, "slow": 1000.0})
    assert counts["b"] == WARM_ROUNDS + FEWEST_ROUNDS
    assert counts["a"] == 2 * counts["b"]
    assert counts["slow"] == WARM_ROUNDS + TRIAL_ROUNDS
    assert found.timings["slow"].repeats == TRIAL_ROUNDS
    assert found.timings["slow"].gain == pytest.approx(0.1)


def test_a_slow_default_is_still_measured():
    found, counts = made_up({"a": 1000.0, "b": 10.0})
    assert counts["a"] == 2 * counts["b"]
    assert found.timings["b"].gain == pytest.approx(100.0)


def test_jitter_is_in_the_noise_and_drift_is_not_in_the_gain():
    found, _ = made_up({"a": 100.0, "b": 100.0}, jitter=0.1, drift=0.01)
    assert found.noise > 0.02
    assert abs(found.timings["b"].gain - 1) < found.noise


def test_a_disturbance_of_the_first_rounds_makes_no_winner_of_what_is_hopeless():
    taken = {"a": 0, "b": 0, "slow": 0}

    def run(name: str) -> float:
        taken[name] += 1
        disturbed = name == "a" and WARM_ROUNDS * 2 < taken[name] <= (WARM_ROUNDS + TRIAL_ROUNDS) * 2
        return {"a": 100.0, "b": 90.0, "slow": 200.0}[name] * (10 if disturbed else 1)

    found = measure_interleaved({name: lambda name=name: run(name) for name in taken}, "a", seconds=0)
    assert found.timings["slow"].repeats == TRIAL_ROUNDS
    assert found.timings["slow"].gain < found.timings["b"].gain


class Neighbour(Quiet):
    """Slows everything down in the moments that `slow` says, each a look at the processor."""

    def __init__(self, slow: Callable[[int], bool]) -> None:
        self.slow, self.looks = slow, 0
        self.waits = Waits()

    def now(self) -> bool:
        self.looks += 1
        return not self.slow(self.looks)

    def wait(self, until: float) -> bool:
        while not self.now():
            pass
        return True


def test_rounds_that_a_neighbour_disturbs_do_not_count():
    neighbour = Neighbour(lambda look: look % 7 in (3, 4, 5))
    found = measure_interleaved(
        {"a": lambda: 200.0 if neighbour.slow(neighbour.looks + 1) else 100.0}, "a", seconds=1e-4, quiet=neighbour
    )
    assert found.timings["a"].median_ns == 100.0
    assert found.timings["a"].spread_ns == 0.0
    assert found.timings["a"].repeats == 2 * FEWEST_ROUNDS
    assert not found.disturbed


def test_without_time_nothing_is_waited_for():
    found = measure_interleaved({"a": lambda: 100.0}, "a", seconds=0, quiet=Neighbour(lambda look: True))
    assert found.disturbed
    assert found.timings["a"].median_ns == 100.0


def test_of_disturbed_rounds_the_quickest_count(monkeypatch):
    monkeypatch.setattr(interleaved, "LONGEST_WAIT_S", 0.0)
    monkeypatch.setattr(interleaved, "PATIENCE", 0.0)
    runs = itertools.count()
    found = measure_interleaved(
        {"a": lambda: 100.0 if next(runs) // 2 % 2 else 170.0}, "a", seconds=10, quiet=Neighbour(lambda look: True)
    )
    assert found.disturbed
    assert (found.timings["a"].median_ns, found.timings["a"].spread_ns) == (100.0, 0.0)
    assert found.timings["a"].repeats == 2 * interleaved.MOST_ROUNDS // 3
