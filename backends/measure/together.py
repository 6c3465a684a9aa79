"""Different things timed in turns, so that all of them meet the machine in the same states.

What one takes after the other, each for its own few moments, is not to be added up: a machine that others use is a
third slower for seconds or minutes, and which of the things that hits is chance.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from nascompiler.backends.measure.interleaved import FEWEST_ROUNDS, LEAST_DISTURBED, PATIENCE, quickest
from nascompiler.backends.measure.quiet import Quiet

Turn = Callable[[], tuple[float, ...]]
"""Does a thing, perhaps in several ways; returns the time of each way in ns."""


@dataclass
class Turns:
    """What a thing took in quiet moments and in others: a tuple for each of its turns, ns."""

    quiet: list[tuple[float, ...]] = field(default_factory=list)
    others: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def disturbed(self) -> bool:
        """Whether there were too few quiet moments."""
        return len(self.quiet) < FEWEST_ROUNDS

    @property
    def times(self) -> np.ndarray:
        """The turns that count, turns x ways: those in quiet moments; where these are few, the quickest of all."""
        if not self.disturbed:
            return np.array(self.quiet)
        every = np.array([*self.quiet, *self.others])
        kept: np.ndarray = every[quickest(every.sum(axis=1))]
        return kept


def measure_together(turns: Mapping[str, Turn], *, seconds: float, quiet: Quiet) -> dict[str, Turns]:
    """Give each thing a turn, in random order, round by round for about `seconds`.

    Rounds go on for up to `PATIENCE` times as long until each has had `FEWEST_ROUNDS` turns in quiet moments; there are
    at least so many rounds. Where that was too little, rounds follow that wait for nothing, until there are enough to
    take the quickest of.
    """
    found = {name: Turns() for name in turns}
    names = list(turns)
    order = np.random.default_rng(0)  # who comes behind whom must not matter
    began = time.monotonic()
    given_up = began + PATIENCE * seconds
    rounds = 0
    while True:
        now = time.monotonic()
        wanting = any(found[name].disturbed for name in names)
        fewest = FEWEST_ROUNDS / LEAST_DISTURBED if wanting else FEWEST_ROUNDS
        if rounds >= fewest and now >= (given_up if wanting else began + seconds):
            return found
        for i in order.permutation(len(names)):
            name = names[i]
            quiet_before = quiet.wait(given_up)
            before = quiet.waits.ns()
            taken = turns[name]()
            alone = not quiet.waits.since(before)
            undisturbed = quiet_before and alone and quiet.now()
            (found[name].quiet if undisturbed else found[name].others).append(taken)
        rounds += 1
