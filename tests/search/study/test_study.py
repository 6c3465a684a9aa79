import json
import sqlite3
import subprocess
import sys

import pytest

from nascompiler.backends.measure import Kind
from nascompiler.ir import UsageError
from nascompiler.search.errors import StudyError
from nascompiler.search.evaluation import Evaluation, TargetLatency
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.study import Checkpoint, FinalRecord, Study, TrialRecord
from nascompiler.search.trial import TrialOutcome

EVALUATION = Evaluation(0.75, {"cpu": TargetLatency(2e6, Kind.PREDICTED, 1e4)}, 1000, 2000, (0.5, 0.75), {"why": "é"})


@pytest.fixture
def path(tmp_path):
    """A study of three trials: evaluated, failed, under way."""
    path = tmp_path / "small.study"
    with Study.create(path, {"space": "mnasnet"}) as study:
        study.begin_session({"nascompiler": "1"})
        first, second, third = (study.add_trial(TrialRecord(n, (0, n), 10 + n, 0)) for n in range(3))
        study.set_told(study.add_outcome(first, TrialOutcome(0, EVALUATION, 1.5, "here")), 0.7)
        failed = study.add_outcome(second, TrialOutcome(1, TrialFailure(FailureClass.CRASH, "signal 11"), 0.5, "there"))
        failed = study.add_outcome(failed, TrialOutcome(1, TrialFailure(FailureClass.BUILD, "no kernel"), 0.1))
        study.set_told(failed, 0.0)
        assert study.trials()[2] == third
        study.add_checkpoint(Checkpoint(3, 2, {"a": [1.5]}))
        study.set_finals([FinalRecord(0, "cpu", None, TargetLatency(2.1e6, Kind.MEASURED, 1e3, 50), tied=True)])
    return path


def test_what_was_written_is_read(path):
    with Study.read(path) as study:
        first, second, third = study.trials()
        assert study.settings == {"space": "mnasnet"}
        assert study.checkpoint() == Checkpoint(3, 2, {"a": [1.5]})
        assert study.finals()[0].measured.ns == 2.1e6
        assert study.sessions()[0].versions == {"nascompiler": "1"}
    assert (first.evaluation, first.told, first.duration_s, first.worker) == (EVALUATION, 0.7, 1.5, "here")
    assert [trial.status for trial in (first, second, third)] == ["evaluated", "failed", "under way"]
    assert [(failure.failure_class, failure.message) for failure in second.failures] == [
        (FailureClass.CRASH, "signal 11"),
        (FailureClass.BUILD, "no kernel"),
    ]
    assert second.failure.message == "no kernel"
    assert json.loads(json.dumps(first.to_json()))["evaluation"]["latencies"]["cpu"]["kind"] == "predicted"


def test_a_study_is_one_file_when_it_is_closed(path):
    assert [file.name for file in path.parent.iterdir() if file.suffix != ".lock"] == [path.name]


def test_reading_leaves_nothing_behind(path):
    before = sorted(path.parent.iterdir())
    with Study.read(path) as study:
        study.trials()
    assert sorted(path.parent.iterdir()) == before


def test_a_trial_is_not_added_twice(path):
    with Study.resume(path) as study:
        before = study.trials()
        study.add_trial(TrialRecord(0, (5, 5), 99, 0))
        assert study.trials() == before


def test_repeats_share_the_evaluation(path):
    with Study.resume(path) as study:
        study.begin_session({})
        study.add_trial(TrialRecord(3, (0, 0), 13, 2, repeats=0))
        assert study.trials()[3].evaluation == EVALUATION


def test_only_the_latest_checkpoints_are_kept(path):
    with Study.resume(path) as study:
        for told in range(10):
            study.add_checkpoint(Checkpoint(told, told, {"told": told}))
        assert study.checkpoint().state == {"told": 9}
        assert study._db.execute("SELECT count(*) FROM checkpoint").fetchone() == (2,)


def test_there_is_one_writer_and_readers_do_not_wait(path):
    with Study.resume(path):
        code = "import sys; from nascompiler.search.study import Study; Study.resume(sys.argv[1])"
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
        assert "StudyError" in done.stderr
        assert "is in use by another search (process" in done.stderr
        with Study.read(path) as reader:
            assert len(reader.trials()) == 3


def test_begin_and_resume_are_not_confused(path, tmp_path):
    with pytest.raises(UsageError, match="exists; continue it with --resume"):
        Study.create(path, {})
    for read in (Study.resume, Study.read):
        with pytest.raises(UsageError, match="there is no study"):
            read(tmp_path / "none.study")
    assert not (tmp_path / "none.study").exists()


def test_a_study_that_was_only_begun_can_be_begun_again(tmp_path):
    path = tmp_path / "s"
    path.touch()
    with pytest.raises(UsageError, match="only begun"):
        Study.resume(path)
    with Study.create(path, {"a": 1}) as study:
        assert study.settings == {"a": 1}


@pytest.mark.parametrize("open_it", [lambda p: Study.create(p, {}), Study.resume, Study.read])
@pytest.mark.parametrize(
    "content, message",
    [
        (b"a text that is long enough to be no header of SQLite" * 20, "not a study, or is damaged"),
        ("foreign", "SQLite file of another program"),
        ("newer", "has version 99 of the study's schema"),
        ("broken", "damaged"),
    ],
)
def test_what_is_no_study_is_refused_and_left_as_it_is(path, open_it, content, message):
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "foreign":
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE trial (mine)")
        db.close()
    elif content == "newer":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        data = bytearray(path.read_bytes())
        data[4096:] = b"\x55" * (len(data) - 4096)
        path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(StudyError, match=message):
        open_it(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("column, value", [("evaluation", "{"), ("evaluation", "{}"), ("vector", "nothing")])
def test_a_record_that_cannot_be_read_is_damage(path, column, value):
    with sqlite3.connect(path) as db:
        db.execute(f"UPDATE trial SET {column} = ? WHERE number = 0", (value,))
    db.close()
    with Study.read(path) as study, pytest.raises(StudyError, match="damaged"):
        study.trials()


def test_a_full_disk_leaves_the_study_unharmed(path):
    with Study.resume(path) as study:
        before = study.trials()
        ((pages,),) = study._db.execute("PRAGMA page_count")
        study._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StudyError, match=r"the disk is full.*--resume"):
            study.add_checkpoint(Checkpoint(4, 4, {"large": "x" * 100_000}))
        assert study.trials() == before
    with Study.resume(path) as study:
        assert study.trials() == before
        assert study.checkpoint() == Checkpoint(3, 2, {"a": [1.5]})
        study.add_checkpoint(Checkpoint(4, 4, {"large": "x" * 100_000}))
