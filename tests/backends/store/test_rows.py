from __future__ import annotations

import pytest

from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store import Outcome, Row, Tuning


def tuning(noise: float = 0.05, **gains: float | None) -> Tuning:
    rows = [
        Row(name, Outcome.CRASH) if gain is None else Row(name, median_ns=100 / gain, repeats=9, gain=gain)
        for name, gain in gains.items()
    ]
    return Tuning(tuple(rows), noise, Kind.MEASURED, True)


@pytest.mark.parametrize(
    ("known", "best"),
    [
        (tuning(a=1.0, b=1.2, c=1.3), "c"),
        (tuning(a=1.0, b=1.04), "a"),  # within the noise
        (tuning(b=1.0, a=1.2, c=1.23), "a"),  # the default now was none then: others are held against it
        (tuning(a=None, b=1.0, c=0.9), "b"),
        (tuning(b=1.0, c=1.01), "c"),
        (tuning(a=1.0, gone=2.0), "a"),
        (tuning(a=None, gone=2.0), None),
        (tuning(), None),
    ],
)
def test_the_default_stands_unless_another_is_faster_by_more_than_the_noise(known, best):
    row = known.best(["a", "b", "c"], "a")
    assert (None if row is None else row.variant) == best
