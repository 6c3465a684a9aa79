from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store import Outcome, Row, Session, Store, Tuning
from nascompiler.backends.store.generator import generator_hash

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "make_base.py"
DEFAULT, FAST = Row("a", median_ns=9.0, gain=1.0), Row("c", median_ns=6.0, gain=1.5)


@pytest.mark.parametrize("existing", [False, True])
def test_the_base_has_the_default_and_the_fastest_of_the_latest_measurement(tmp_path, existing):
    work, path = Store(tmp_path / "work.sqlite"), tmp_path / "base.sqlite.gz"
    slow = Row("b", median_ns=12.0, gain=0.75)

    def add(call: str, at: str, *rows: Row, generator: str = "") -> None:
        tuning = Tuning(rows, 0.01, Kind.MEASURED, True)
        work.add(call, Session("t", generator or generator_hash(), at), tuning)

    add("x", "1", Row("old", gain=1.0))
    add("x", "2", slow, DEFAULT, FAST, Row("d", Outcome.CRASH))
    add("y", "1", Row("d", Outcome.CRASH))
    add("z", "3", DEFAULT, generator="earlier")
    if existing:
        path.write_bytes(b"an earlier one")
    assert runpy.run_path(str(SCRIPT))["write_base"](work, path) == 1
    found = Store(path, read_only=True).tunings(["x", "y", "z", "gone"], "t", generator_hash())
    assert {call: tuning.rows for call, tuning in found.items()} == {"x": (DEFAULT, FAST)}
