"""Things timed in turns: which turns count. Times and quiet moments here are made up."""

from __future__ import annotations

import numpy as np

from nascompiler.backends.measure.interleaved import FEWEST_ROUNDS, LEAST_DISTURBED
from nascompiler.backends.measure.priority import Waits
from nascompiler.backends.measure.quiet import Quiet
from nascompiler.backends.measure.together import Turns, measure_together


class EverySecond(Quiet):
    """Quiet at every second look, and for as long as `ends` says."""

    def __init__(self, ends: int) -> None:
        self.waits = Waits()
        self.looks, self._ends = 0, ends

    def now(self) -> bool:
        self.looks += 1
        return self.looks % 4 < 2 and self.looks < self._ends


def test_all_have_quiet_turns_in_rounds_of_changing_order():
    began = []

    def thing(name: str, ns: float):
        def turn():
            began.append(name)
            return ns, 2 * ns

        return turn

    found = measure_together({n: thing(n, i) for i, n in enumerate("abc")}, seconds=0.5, quiet=EverySecond(10**9))
    rounds = [began[i : i + 3] for i in range(0, len(began), 3)]
    assert {tuple(sorted(names)) for names in rounds} == {tuple("abc")}
    assert len({tuple(names) for names in rounds}) == 6
    for i, name in enumerate("abc"):
        assert not found[name].disturbed
        assert len(found[name].times) == len(found[name].quiet) >= FEWEST_ROUNDS
        assert np.all(found[name].times == [i, 2 * i])


def test_without_quiet_moments_the_quickest_turns_count():
    turns = Turns(others=[(float(ns), 1.0) for ns in range(90)])
    assert turns.disturbed
    assert turns.times[:, 0].tolist() == list(range(30))


def test_it_ends_where_no_moment_is_quiet():
    found = measure_together({"a": lambda: (1.0,)}, seconds=0.01, quiet=EverySecond(0))
    assert found["a"].disturbed
    assert len(found["a"].times) == FEWEST_ROUNDS
    assert len(found["a"].others) == FEWEST_ROUNDS / LEAST_DISTURBED
