"""The file of a study: SQLite with a write-ahead log, so that readers never wait and a kill loses nothing written."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nascompiler.search.errors import StudyError

APPLICATION_ID = 0x6E617363
"""Marks a SQLite file as one of ours."""

MIGRATIONS: Sequence[str] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE session (number INTEGER PRIMARY KEY, began_at TEXT NOT NULL, versions TEXT NOT NULL);
    CREATE TABLE trial (
        number INTEGER PRIMARY KEY,
        vector TEXT NOT NULL,
        seed INTEGER NOT NULL,
        told_before INTEGER NOT NULL,
        told REAL,
        evaluation TEXT,
        repeats INTEGER REFERENCES trial (number),
        duration_s REAL NOT NULL DEFAULT 0,
        worker TEXT NOT NULL DEFAULT '',
        session INTEGER NOT NULL REFERENCES session (number),
        ended_at TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE failure (
        trial INTEGER NOT NULL REFERENCES trial (number),
        attempt INTEGER NOT NULL,
        class TEXT NOT NULL,
        message TEXT NOT NULL,
        duration_s REAL NOT NULL,
        worker TEXT NOT NULL,
        PRIMARY KEY (trial, attempt)
    ) WITHOUT ROWID;
    CREATE TABLE checkpoint (told INTEGER PRIMARY KEY, asked INTEGER NOT NULL, state TEXT NOT NULL);
    CREATE TABLE final (
        place INTEGER PRIMARY KEY,
        trial INTEGER NOT NULL REFERENCES trial (number),
        target TEXT NOT NULL,
        before TEXT,
        measured TEXT,
        tied INTEGER NOT NULL,
        problem TEXT NOT NULL
    );
    """,
    "CREATE TABLE record (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;",
)
"""Entry i takes a file from version i to i + 1 of the schema."""

VERSION = len(MIGRATIONS)
BUSY_TIMEOUT_S = 30.0


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """What SQLite and the system say about the file, as a StudyError that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise disk_full(path) from None
        raise StudyError(f"cannot use the study {path}: {error}") from None
    except sqlite3.DatabaseError as error:
        raise StudyError(
            f"{path} is not a study, or is damaged: {error}; restore it from a copy, or name another"
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise disk_full(path) from None
        raise StudyError(f"cannot use the study {path}: {error.strerror or error}") from None


def disk_full(path: Path) -> StudyError:
    return StudyError(
        f"{path}: the disk is full; all trials that had ended are in the study: free space, then --resume"
    )


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """A connection to a study of the current schema; raises StudyError for any other file.

    With `write` a file that is missing, or was only begun, becomes an empty study.
    """
    with guarded(path):
        # A reader that may write leaves no log behind; where it may not, nobody writes meanwhile either.
        mode = "rwc" if write else "rw" if os.access(path, os.W_OK) else "ro&immutable=1"
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if not write:
                db.execute("PRAGMA query_only = ON")
            _check(db, path)
            if write:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")  # a lost machine may lose the last commits, a kill none
                db.execute("PRAGMA foreign_keys = ON")
                _migrate(db)
            elif is_empty(db):
                raise StudyError(f"{path} is an empty study: nothing was written to it yet")
        except BaseException:
            db.close()
            raise
        return db


def is_empty(db: sqlite3.Connection) -> bool:
    """Whether no table was made yet, as after a kill right at the beginning."""
    ((tables,),) = db.execute("SELECT count(*) FROM sqlite_master")
    return bool(tables == 0)


def _check(db: sqlite3.Connection, path: Path) -> None:
    ((application,),) = db.execute("PRAGMA application_id")
    ((version,),) = db.execute("PRAGMA user_version")
    if application != APPLICATION_ID and not (application == 0 and is_empty(db)):
        raise StudyError(f"{path} is a SQLite file of another program, not a study; name another file")
    if version > VERSION:
        raise StudyError(
            f"{path} has version {version} of the study's schema; this nascompiler reads up to version {VERSION}: use "
            "the nascompiler that wrote it"
        )
    faults = [text for (text,) in db.execute("PRAGMA quick_check(3)") if text != "ok"]
    if faults:
        raise StudyError(f"{path} is damaged: {'; '.join(faults)}; restore it from a copy")


def _migrate(db: sqlite3.Connection) -> None:
    """The whole of it is one transaction."""
    db.execute("BEGIN IMMEDIATE")
    ((version,),) = db.execute("PRAGMA user_version")
    for statements in MIGRATIONS[version:]:
        for statement in statements.split(";"):
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def lock(path: Path) -> IO[str]:
    """Hold the right to write, until the file that is returned is closed or the process dies.

    The lock is a file of its own: closing any descriptor of the study itself would drop SQLite's locks on it.
    """
    with guarded(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = path.with_name(f".{path.name}.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            process = held.read().strip() or "unknown"
            held.close()
            raise StudyError(
                f"{path} is in use by another search (process {process}); wait for it, or end it"
            ) from None
        held.seek(0)
        held.truncate()
        held.write(f"{os.getpid()}\n")
        held.flush()
        return held
