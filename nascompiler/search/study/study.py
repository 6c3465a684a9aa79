"""A study: everything that a search has found out, in one file with one writer."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from nascompiler.ir.errors import UsageError
from nascompiler.search.errors import StudyError
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.failures import FailureClass
from nascompiler.search.study.records import Checkpoint, FailureRecord, FinalRecord, SessionRecord, TrialRecord
from nascompiler.search.study.schema import connect, guarded, lock
from nascompiler.search.trial import TrialOutcome

KEPT_CHECKPOINTS = 2


class Study:
    """An open study; a context manager. Every method writes in one transaction and raises StudyError."""

    def __init__(self, path: Path, db: sqlite3.Connection, held: IO[str] | None) -> None:
        self.path = path
        self._db = db
        self._held = held
        self._session = 0

    @classmethod
    def create(cls, path: str | Path, settings: Mapping[str, Any], space: str = "") -> Self:
        """A new study with these settings (plain data) and the text of the space that is searched.

        Raises UsageError where there is a file already.
        """
        path = Path(path)
        held = lock(path)
        try:
            if path.exists() and cls.has_begun(path):
                raise UsageError(f"{path} exists; continue it with --resume, or name another file")
            study = cls(path, connect(path, write=True), held)
        except BaseException:
            held.close()
            raise
        with study._writing() as db:
            rows = [("settings", json.dumps(settings)), ("space", space)]
            db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        return study

    @classmethod
    def resume(cls, path: str | Path) -> Self:
        """A study to go on with; raises UsageError where there is none."""
        path = Path(path)
        if not path.exists():
            raise UsageError(f"there is no study {path} to resume; begin it without --resume")
        held = lock(path)
        try:
            if not cls.has_begun(path):
                raise UsageError(f"{path} was only begun and holds nothing; begin it again without --resume")
            return cls(path, connect(path, write=True), held)
        except BaseException:
            held.close()
            raise

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A study to look at, also while it is being written; raises UsageError where there is none."""
        path = Path(path)
        if not path.is_file():
            raise UsageError(f"there is no study {path}")
        return cls(path, connect(path, write=False), None)

    @staticmethod
    def has_begun(path: Path) -> bool:
        """Whether a file holds a study, not only the beginning of one that was killed right away.

        Raises StudyError for a file that is neither.
        """
        if path.stat().st_size == 0 and not path.with_name(path.name + "-wal").exists():
            return False
        with guarded(path), contextlib.closing(connect(path, write=True)) as db:
            return bool(db.execute("SELECT count(*) FROM meta").fetchone() != (0,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """The log is written back, so that the study is one file again."""
        if self._held is not None:
            with contextlib.suppress(sqlite3.Error):  # a full disk: the log stays beside the file, is read with it
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        if self._held is not None:
            self._held.close()
            self._held = None

    @property
    def settings(self) -> dict[str, Any]:
        return dict(_plain(self._meta("settings"), self.path))

    @property
    def space(self) -> str:
        """The text of the space that is searched."""
        return self._meta("space")

    def _meta(self, key: str) -> str:
        with guarded(self.path):
            found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise StudyError(f"{self.path} was only begun and has no {key}")
        return str(found[0])

    def change_settings(self, settings: Mapping[str, Any]) -> None:
        """Put settings in place of those there are."""
        with self._writing() as db:
            db.execute("UPDATE meta SET value = ? WHERE key = 'settings'", (json.dumps(settings),))

    def begin_session(self, versions: Mapping[str, str]) -> None:
        """Trials from here on belong to a new session."""
        with self._writing() as db:
            began_at = datetime.now(UTC).isoformat(timespec="seconds")
            cursor = db.execute("INSERT INTO session VALUES (NULL, ?, ?)", (began_at, json.dumps(dict(versions))))
            self._session = int(cursor.lastrowid or 0)

    def add_trial(self, trial: TrialRecord) -> TrialRecord:
        """A trial that was asked for; with the number of one that is there already, nothing happens."""
        trial = replace(trial, session=self._session)
        with self._writing() as db:
            db.execute(
                "INSERT OR IGNORE INTO trial (number, vector, seed, told_before, repeats, session) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (trial.number, json.dumps(trial.vector), trial.seed, trial.told_before, trial.repeats, self._session),
            )
        return trial

    def add_outcome(self, trial: TrialRecord, outcome: TrialOutcome) -> TrialRecord:
        """What became of an attempt; the trial with it."""
        ended_at = datetime.now(UTC).isoformat(timespec="seconds")
        if isinstance(outcome.result, Evaluation):
            trial = replace(
                trial,
                evaluation=outcome.result,
                duration_s=outcome.duration_s,
                worker=outcome.worker,
                session=self._session,
                ended_at=ended_at,
            )
            text = json.dumps(outcome.result.to_json())
            with self._writing() as db:
                db.execute(
                    "UPDATE trial SET evaluation = ?, duration_s = ?, worker = ?, session = ?, ended_at = ? "
                    "WHERE number = ?",
                    (text, outcome.duration_s, outcome.worker, self._session, ended_at, trial.number),
                )
            return trial
        failure = FailureRecord(outcome.result.failure_class, str(outcome.result), outcome.duration_s, outcome.worker)
        values = (failure.failure_class.value, failure.message, failure.duration_s, failure.worker)
        with self._writing() as db:
            db.execute(
                "INSERT INTO failure VALUES (?, ?, ?, ?, ?, ?)", (trial.number, len(trial.failures) + 1, *values)
            )
        return replace(trial, failures=(*trial.failures, failure))

    def set_told(self, trial: TrialRecord, reward: float) -> TrialRecord:
        """The reward that the controller is told; the trial has ended."""
        with self._writing() as db:
            db.execute("UPDATE trial SET told = ? WHERE number = ?", (reward, trial.number))
        return replace(trial, told=reward)

    def trials(self) -> list[TrialRecord]:
        """All of them, in order; those that repeat another one share its evaluation."""
        with guarded(self.path):
            failures: dict[int, tuple[FailureRecord, ...]] = {}
            for number, *values in self._db.execute(
                "SELECT trial, class, message, duration_s, worker FROM failure ORDER BY trial, attempt"
            ):
                record = FailureRecord(FailureClass(values[0]), *values[1:])
                failures[number] = (*failures.get(number, ()), record)
            rows = self._db.execute(
                "SELECT number, vector, seed, told_before, told, evaluation, repeats, duration_s, worker, session, "
                "ended_at FROM trial ORDER BY number"
            ).fetchall()
        found: list[TrialRecord] = []
        for number, vector, seed, told_before, told, evaluation, repeats, *rest in rows:
            if number != len(found):
                raise StudyError(f"{self.path} is damaged: trial {len(found)} is missing")
            known = None
            if evaluation is not None:
                known = self._evaluation(number, evaluation)
            elif repeats is not None and repeats < number:
                known = found[repeats].evaluation
            found.append(
                TrialRecord(
                    number,
                    tuple(_plain(vector, self.path)),
                    seed,
                    told_before,
                    told,
                    known,
                    failures.get(number, ()),
                    repeats,
                    *rest,
                )
            )
        return found

    def _evaluation(self, number: int, text: str) -> Evaluation:
        try:
            return Evaluation.from_json(_plain(text, self.path))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StudyError(f"{self.path} is damaged: trial {number} cannot be read ({error!r})") from None

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a controller's state; all but the latest few are dropped."""
        state = json.dumps(checkpoint.state)
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)", (checkpoint.told, checkpoint.asked, state))
            db.execute(
                "DELETE FROM checkpoint WHERE told NOT IN (SELECT told FROM checkpoint ORDER BY told DESC LIMIT ?)",
                (KEPT_CHECKPOINTS,),
            )

    def checkpoint(self) -> Checkpoint | None:
        """The latest state of the controller."""
        with guarded(self.path):
            found = self._db.execute("SELECT asked, told, state FROM checkpoint ORDER BY told DESC LIMIT 1").fetchone()
        return None if found is None else Checkpoint(found[0], found[1], _plain(found[2], self.path))

    def sessions(self) -> list[SessionRecord]:
        with guarded(self.path):
            rows = self._db.execute("SELECT number, began_at, versions FROM session ORDER BY number").fetchall()
        return [SessionRecord(number, began_at, _plain(versions, self.path)) for number, began_at, versions in rows]

    def set_finals(self, finals: list[FinalRecord]) -> None:
        """The best as measured at the end, in place of those of earlier ends."""
        with self._writing() as db:
            db.execute("DELETE FROM final")
            db.executemany(
                "INSERT INTO final VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                [
                    (f.trial, f.target, _latency_text(f.before), _latency_text(f.measured), f.tied, f.problem)
                    for f in finals
                ],
            )

    def finals(self) -> list[FinalRecord]:
        with guarded(self.path):
            rows = self._db.execute(
                "SELECT trial, target, before, measured, tied, problem FROM final ORDER BY place"
            ).fetchall()
        return [
            FinalRecord(trial, target, self._latency(before), self._latency(measured), bool(tied), problem)
            for trial, target, before, measured, tied, problem in rows
        ]

    def set_record(self, name: str, value: Mapping[str, Any]) -> None:
        """Keep plain data under a name, in place of what was there; for what is more than trials."""
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (name, json.dumps(value)))

    def record(self, name: str) -> dict[str, Any] | None:
        """What is kept under a name, None when nothing is."""
        with guarded(self.path):
            found = self._db.execute("SELECT value FROM record WHERE name = ?", (name,)).fetchone()
        return None if found is None else dict(_plain(found[0], self.path))

    def _latency(self, text: str | None) -> TargetLatency | None:
        return None if text is None else TargetLatency.from_json(_plain(text, self.path))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with guarded(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _latency_text(latency: TargetLatency | None) -> str | None:
    return None if latency is None else json.dumps(latency.to_json())


def _plain(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise StudyError(
            f"{path} is damaged: a record cannot be read ({text[:40]!r}...); restore it from a copy"
        ) from None
