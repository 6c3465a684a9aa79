"""The file of measurements: what comes back, writers at the same time, damage, versions of the schema."""

from __future__ import annotations

import gzip
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from nascompiler.backends.errors import StoreError
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store import Outcome, Row, Session, Store, Tuning
from nascompiler.backends.store.store import VERSION

ROWS = (
    Row("a", median_ns=10.5, spread_ns=0.5, repeats=7, gain=1.0),
    Row("b", Outcome.TIME_OUT, detail="slow"),
    Row("c", median_ns=9.5, spread_ns=0.5, repeats=7, gain=1.1, schedule="[[],[]]", warm_ns=8.5),
)


def tuning(*rows: Row, fresh: bool = True) -> Tuning:
    return Tuning(rows or ROWS, 0.02, Kind.MEASURED, fresh)


def session(generator: str = "g", taken_at: str = "2026-01-01", target: str = "t") -> Session:
    return Session(target, generator, taken_at, versions={"numba": "1"}, environment={"cores": 2})


def fill(path: Path, writer: int) -> None:
    for number in range(20):
        Store(path).add(f"call {writer}.{number}", session(taken_at=str(writer)), tuning())


def test_what_was_added_is_found_by_call_and_target(tmp_path):
    store = Store(tmp_path / "new" / "m.sqlite")
    assert store.tunings(["c"], "t", "g") == {}
    store.add("c", session(), tuning())
    assert Store(store.path).tunings(["c", "d"], "t", "g") == {"c": tuning()}
    assert store.tunings(["c"], "another", "g") == {}
    assert list(store.all()) == [("c", session(), tuning())]


def test_measurements_of_the_same_generator_come_first_then_later_ones(tmp_path):
    store = Store(tmp_path / "m.sqlite")
    old, new = tuning(Row("old", gain=1.0)), tuning(Row("new", gain=1.0))
    store.add("c", session("g", "2026-01-01"), old)
    store.add("c", session("h", "2026-02-01"), new)
    assert store.tunings(["c"], "t", "g")["c"] == old
    assert store.tunings(["c"], "t", "x")["c"] == tuning(*new.rows, fresh=False)
    store.add("c", session("g", "2026-03-01"), new)
    assert store.tunings(["c"], "t", "g")["c"] == new


def test_a_session_replaces_its_own_rows(tmp_path):
    store = Store(tmp_path / "m.sqlite")
    store.add("c", session(), tuning())
    store.add("c", session(), tuning(Row("z", gain=1.0)))
    assert store.tunings(["c"], "t", "g")["c"].rows == (Row("z", gain=1.0),)


def test_processes_write_at_the_same_time(tmp_path):
    path = tmp_path / "m.sqlite"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=fill, args=(path, number)) for number in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0, 0, 0]
    calls = [f"call {writer}.{number}" for writer in range(3) for number in range(20)]
    assert set(Store(path).tunings(calls, "t", "g")) == set(calls)


def test_a_block_that_fails_leaves_nothing(tmp_path):
    store = Store(tmp_path / "m.sqlite")
    with pytest.raises(StoreError, match="UNIQUE"):
        store.add("c", session(), tuning(Row("a"), Row("a")))
    assert store.tunings(["c"], "t", "g") == {}


@pytest.mark.parametrize("content", [b"no database at all, but longer than the header of one" * 9, None])
def test_a_damaged_file_is_named_in_one_error(tmp_path, content):
    path = tmp_path / "m.sqlite"
    Store(path).add("c", session(), tuning())
    damaged = content or path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"m\.sqlite.*move the file away"):
        Store(path).tunings(["c"], "t", "g")


def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "m.sqlite"
    Store(path).add("c", session(), tuning())
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    for read_only in (False, True):
        with pytest.raises(StoreError, match=f"version {VERSION + 1}.*reads version {VERSION}"):
            Store(path, read_only).tunings(["c"], "t", "g")


def test_an_older_schema_is_brought_up_to_date(tmp_path, monkeypatch):
    path = tmp_path / "m.sqlite"
    Store(path).add("c", session(), tuning())
    from nascompiler.backends.store import store as module

    added = "ALTER TABLE session ADD COLUMN remark TEXT NOT NULL DEFAULT ''; CREATE TABLE extra (x);"
    monkeypatch.setattr(module, "MIGRATIONS", (*module.MIGRATIONS, added))
    monkeypatch.setattr(module, "VERSION", VERSION + 1)
    with pytest.raises(StoreError, match=f"version {VERSION} of"):  # nothing is written to a base that ships
        Store(path, read_only=True).tunings(["c"], "t", "g")
    assert Store(path).tunings(["c"], "t", "g") == {"c": tuning()}
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
    db.close()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Store(tmp_path / "file" / "m.sqlite").add("c", session(), tuning())


def test_a_compressed_file_is_read_and_checked_like_any_other(tmp_path):
    whole, path = tmp_path / "m.sqlite", tmp_path / "m.sqlite.gz"
    Store(whole).add("c", session(), tuning())
    content = gzip.compress(whole.read_bytes())
    path.write_bytes(content)
    store = Store(path, read_only=True)
    assert store.tunings(["c", "d"], "t", "g") == {"c": tuning()}
    for damaged in (b"nonsense", content[:-9], gzip.compress(b"no database")):
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"m\.sqlite\.gz"):
            store.tunings(["c"], "t", "g")
