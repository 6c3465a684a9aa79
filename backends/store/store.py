"""One file of measurements (SQLite). Processes may write to it at the same time.

A file that is only read may be compressed (.gz), to a tenth of its size.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nascompiler.backends.errors import StoreError
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store.rows import Outcome, Row, Session, Tuning

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE session (
        id INTEGER PRIMARY KEY,
        target TEXT NOT NULL,
        generator TEXT NOT NULL,
        taken_at TEXT NOT NULL,
        kind TEXT NOT NULL,
        versions TEXT NOT NULL,
        environment TEXT NOT NULL,
        UNIQUE (target, generator, taken_at, kind, versions, environment)
    );
    CREATE TABLE call (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    CREATE TABLE tuning (
        call INTEGER NOT NULL REFERENCES call (id),
        session INTEGER NOT NULL REFERENCES session (id),
        noise REAL NOT NULL,
        PRIMARY KEY (call, session)
    ) WITHOUT ROWID;
    CREATE TABLE measurement (
        call INTEGER NOT NULL,
        session INTEGER NOT NULL,
        variant TEXT NOT NULL,
        outcome TEXT NOT NULL,
        median_ns REAL NOT NULL,
        spread_ns REAL NOT NULL,
        repeats INTEGER NOT NULL,
        gain REAL NOT NULL,
        detail TEXT NOT NULL,
        PRIMARY KEY (call, session, variant)
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE measurement ADD COLUMN schedule TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE measurement ADD COLUMN warm_ns REAL NOT NULL DEFAULT 0",
    "ALTER TABLE measurement ADD COLUMN cycles TEXT NOT NULL DEFAULT ''",
)
"""Entry i takes a file from version i to i + 1 of the schema; a new file goes through all of them."""

VERSION = len(MIGRATIONS)

BUSY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Store:
    """A file of measurements, which need not exist. Every method raises StoreError for one that cannot be used."""

    path: Path
    read_only: bool = False

    def add(self, call: str, session: Session, tuning: Tuning) -> None:
        """Keep the rows of a call, in place of those that the same session has given it before."""
        with self._open() as db:
            common = (session.target, session.generator, session.taken_at, session.kind.value)
            described = (json.dumps(dict(session.versions)), json.dumps(dict(session.environment)))
            db.execute("INSERT OR IGNORE INTO session VALUES (NULL, ?, ?, ?, ?, ?, ?)", (*common, *described))
            where = "target = ? AND generator = ? AND taken_at = ? AND kind = ? AND versions = ? AND environment = ?"
            ((session_id,),) = db.execute(f"SELECT id FROM session WHERE {where}", (*common, *described))
            db.execute("INSERT OR IGNORE INTO call VALUES (NULL, ?)", (call,))
            ((call_id,),) = db.execute("SELECT id FROM call WHERE text = ?", (call,))
            db.execute("INSERT OR REPLACE INTO tuning VALUES (?, ?, ?)", (call_id, session_id, tuning.noise))
            db.execute("DELETE FROM measurement WHERE call = ? AND session = ?", (call_id, session_id))
            db.executemany(
                "INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(call_id, session_id, *_values(row)) for row in tuning.rows],
            )

    def tunings(self, calls: Collection[str], target: str, generator: str) -> dict[str, Tuning]:
        """The latest measurements of each call that has any on the target; those of `generator` come first."""
        if not self.path.exists():
            return {}
        found: dict[str, Tuning] = {}
        with self._open() as db:
            for call in calls:
                latest = db.execute(
                    "SELECT t.call, t.session, t.noise, s.kind, s.generator = ? AS fresh "
                    "FROM call c JOIN tuning t ON t.call = c.id JOIN session s ON s.id = t.session "
                    "WHERE c.text = ? AND s.target = ? ORDER BY fresh DESC, s.taken_at DESC LIMIT 1",
                    (generator, call, target),
                ).fetchone()
                if latest is not None:
                    call_id, session_id, noise, kind, fresh = latest
                    found[call] = Tuning(_rows(db, call_id, session_id), noise, Kind(kind), bool(fresh))
        return found

    def all(self) -> Iterator[tuple[str, Session, Tuning]]:
        """Everything there is, oldest sessions first; `fresh` is set throughout."""
        if not self.path.exists():
            return
        with self._open() as db:
            sessions = db.execute(
                "SELECT id, target, generator, taken_at, kind, versions, environment FROM session ORDER BY taken_at, id"
            ).fetchall()
            for session_id, target, generator, taken_at, kind, versions, environment in sessions:
                session = Session(
                    target, generator, taken_at, Kind(kind), json.loads(versions), json.loads(environment)
                )
                calls = db.execute(
                    "SELECT c.id, c.text, t.noise FROM tuning t JOIN call c ON c.id = t.call WHERE t.session = ?",
                    (session_id,),
                ).fetchall()
                for call_id, text, noise in calls:
                    yield text, session, Tuning(_rows(db, call_id, session_id), noise, session.kind, True)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection of the current schema in one transaction; committed when the block ends well."""
        try:
            if not self.read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with closing(self._connect()) as db:
                self._migrate(db)
                with db:
                    yield db
        except (sqlite3.Error, ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise StoreError(
                f"cannot use the measurements in {self.path}: {error}; move the file away to begin a new one"
            ) from None
        except OSError as error:
            action = "read" if self.read_only else "write"
            raise StoreError(f"cannot {action} {self.path}: {error.strerror or error}") from None

    def _connect(self) -> sqlite3.Connection:
        if self.path.suffix == ".gz":
            db = sqlite3.connect(":memory:")
            state = self.path.stat()
            db.deserialize(_decompressed(self.path, (state.st_mtime_ns, state.st_size)))
            return db
        mode = "ro&immutable=1" if self.read_only else "rwc"
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT_S)

    def _migrate(self, db: sqlite3.Connection) -> None:
        ((version,),) = db.execute("PRAGMA user_version")
        if version == VERSION:
            return
        if version > VERSION or self.read_only:
            raise StoreError(
                f"{self.path} has version {version} of the measurements' schema; this nascompiler reads version "
                f"{VERSION}: use the nascompiler that wrote it, or move the file away to begin a new one"
            )
        db.isolation_level = None  # the whole migration is one transaction, though it makes tables
        db.execute("BEGIN EXCLUSIVE")
        ((version,),) = db.execute("PRAGMA user_version")  # another process may have been faster
        for statements in MIGRATIONS[version:]:
            for statement in statements.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
        db.isolation_level = "DEFERRED"


@lru_cache(maxsize=1)
def _decompressed(path: Path, state: tuple[int, int]) -> bytes:
    """The content of a compressed file in that state: a compile asks several times."""
    with gzip.open(path) as file:
        return file.read()


def _values(row: Row) -> tuple[object, ...]:
    figures = (row.median_ns, row.spread_ns, row.repeats, row.gain)
    cycles = json.dumps(dict(row.cycles)) if row.cycles else ""
    return (row.variant, row.outcome.value, *figures, row.detail, row.schedule, row.warm_ns, cycles)


def _rows(db: sqlite3.Connection, call: int, session: int) -> tuple[Row, ...]:
    rows = db.execute(
        "SELECT cycles, outcome, variant, median_ns, spread_ns, repeats, gain, detail, schedule, warm_ns "
        "FROM measurement WHERE call = ? AND session = ?",
        (call, session),
    )
    names = ("variant", "median_ns", "spread_ns", "repeats", "gain", "detail", "schedule", "warm_ns")
    return tuple(
        Row(
            outcome=Outcome(outcome),
            cycles=json.loads(cycles) if cycles else {},
            **dict(zip(names, fields, strict=True)),
        )
        for cycles, outcome, *fields in rows
    )
