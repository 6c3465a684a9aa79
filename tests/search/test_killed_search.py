"""A search that is killed twenty times comes to the same end as one that is left alone."""

import subprocess
import sys

import pytest

from nascompiler.search.study import Study
from tests.search import killed_search


@pytest.mark.parametrize("controller", ["ppo", "evolution"])
def test_kills_change_nothing(tmp_path, controller):
    command = [sys.executable, "-m", "tests.search.killed_search", tmp_path / "killed.study", controller, "20", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 15  # on a busy machine one may have come to its end before it was killed
    killed_search.search(tmp_path / "undisturbed.study", controller)
    with Study.read(tmp_path / "killed.study") as killed, Study.read(tmp_path / "undisturbed.study") as undisturbed:
        records, expected = killed.trials(), undisturbed.trials()
        assert len(killed.sessions()) > len(undisturbed.sessions()) == 1
        assert killed.checkpoint() == undisturbed.checkpoint()
    assert [said(record) for record in records] == [said(record) for record in expected]
    assert {record.status for record in records} == {"evaluated", "failed"}


def said(record):
    """All of a trial but where and when it ran."""
    failures = [(failure.failure_class, failure.message) for failure in record.failures]
    kept = (record.number, record.vector, record.seed, record.told_before, record.told, record.evaluation)
    return (*kept, failures, record.repeats)
