"""Ways to do the same, timed in turns, and how much of a difference is noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nascompiler.backends.measure.quiet import Quiet

Run = Callable[[], float]
"""Does it once; returns the time in ns."""

WARM_ROUNDS = 2
TRIAL_ROUNDS = 5
FEWEST_ROUNDS = 15
MOST_ROUNDS = 300

PATIENCE = 4
"""Quiet rounds are waited for until a measurement has taken so many times what it was given."""

LONGEST_WAIT_S = 1.0
"""And at least so long, unless it was given no time at all."""

LEAST_DISTURBED = 1 / 3
"""Where there were not enough quiet rounds, the quickest ones count: so large a share, but `FEWEST_ROUNDS`."""

SMALLEST_NOISE = 0.01
"""Placement in memory alone makes such a difference from one process to the next."""

HOPELESS = 1.25
"""What takes so many times as long as the fastest after the trial rounds runs no further."""


@dataclass(frozen=True)
class Timing:
    """Times of one way in ns: median, median absolute deviation, number of runs.

    `gain` is the median over the rounds of (time of the default) / (time of this way); of a way that was left out, at
    most that of the best over `HOPELESS`.
    """

    median_ns: float
    spread_ns: float
    repeats: int
    gain: float


@dataclass(frozen=True)
class Interleaved:
    """What was measured. Two runs of the default in each round differ by `noise`: gains below 1 + noise say nothing.

    `disturbed` says that there were not enough rounds at the processor's full speed, and that the quickest of all
    count.
    """

    timings: Mapping[str, Timing]
    noise: float
    disturbed: bool = False


def measure_interleaved(
    runs: Mapping[str, Run], default: str, *, seconds: float, quiet: Quiet | None = None
) -> Interleaved:
    """Time all ways in rounds of random order for about `seconds`, at least `FEWEST_ROUNDS` rounds.

    The default runs twice in each round. Ways that are hopeless after a few rounds are left out of the others. With
    `quiet`, rounds that were disturbed are repeated, for as long as `PATIENCE` says; in 0 seconds none is.
    """
    going = [*runs, ""]  # "" is the default once more
    times: dict[str, list[float]] = {name: [] for name in going}
    order = np.random.default_rng(0)  # who runs behind whom must not matter
    began = time.monotonic()
    given_up = began + (max(PATIENCE * seconds, LONGEST_WAIT_S) if seconds else 0.0)
    disturbed = False
    for turn in range(WARM_ROUNDS + MOST_ROUNDS):
        done = turn - WARM_ROUNDS
        if done >= FEWEST_ROUNDS and time.monotonic() - began > seconds:
            break
        while True:
            patient = quiet is not None and time.monotonic() < given_up
            started_quiet = quiet is None or (quiet.wait(given_up) if patient else quiet.now())
            before = 0 if quiet is None else quiet.waits.ns()
            taken = {name: runs[name or default]() for name in [going[i] for i in order.permutation(len(going))]}
            undisturbed = started_quiet and (quiet is None or (not quiet.waits.since(before) and quiet.now()))
            if undisturbed or not patient:
                break
        if done < 0:
            continue
        disturbed = disturbed or not undisturbed
        for name, ns in taken.items():
            times[name].append(ns)
        if done + 1 == TRIAL_ROUNDS:
            going = _worth_going_on(times, default)
    if disturbed:
        times = _quickest(times, default)
    twice = np.array(times[default]), np.array(times[""])
    reference = (twice[0] + twice[1]) / 2
    timings = {name: _timing(times[name], reference) for name in runs}
    timings[default] = _timing([*times[default], *times[""]], np.tile(reference, 2), gain=1.0)
    best = max(timings[name].gain for name in going if name)
    for name in set(runs) - set(going):  # a few rounds show that it is hopeless, not by how much
        timings[name] = replace(timings[name], gain=min(timings[name].gain, best / HOPELESS))
    return Interleaved(timings, _noise(twice[0] / twice[1]), disturbed)


def quickest(totals: np.ndarray) -> np.ndarray:
    """The numbers, in order, of the rounds that count where there were not enough quiet ones, by what rounds took."""
    return np.sort(np.argsort(totals, kind="stable")[: max(FEWEST_ROUNDS, int(LEAST_DISTURBED * len(totals)))])


def _quickest(times: Mapping[str, Sequence[float]], default: str) -> dict[str, list[float]]:
    """The rounds, a share of `LEAST_DISTURBED`, in which the default was quickest; those of few rounds as they are."""
    both = np.array(times[default]) + np.array(times[""])
    kept = quickest(both)
    return {name: [taken[i] for i in kept] if len(taken) == len(both) else list(taken) for name, taken in times.items()}


def _worth_going_on(times: Mapping[str, Sequence[float]], default: str) -> list[str]:
    least = {name: min(taken) for name, taken in times.items()}  # of few runs the least is the least disturbed
    limit = HOPELESS * min(least.values())
    return [name for name, taken in least.items() if taken <= limit or name in (default, "")]


def _timing(times: Sequence[float], reference: np.ndarray, gain: float | None = None) -> Timing:
    median = float(np.median(times))
    spread = float(np.median(np.abs(np.array(times) - median)))
    ratio = float(np.median(reference[: len(times)] / np.array(times))) if gain is None else gain
    return Timing(median, spread, len(times), ratio)


def _noise(ratios: np.ndarray) -> float:
    """How far from 1 the median of such ratios may be by chance: what it is, and three of its standard errors."""
    median = float(np.median(ratios))
    deviation = 1.4826 * float(np.median(np.abs(ratios - median)))  # of a normal distribution
    error = 1.2533 * deviation / float(np.sqrt(len(ratios)))  # of its median
    return max(SMALLEST_NOISE, abs(median - 1) + 3 * error)
