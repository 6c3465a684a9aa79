"""An adaptation that is killed again and again chooses what one that is left alone does."""

import subprocess
import sys

from nascompiler.netadapt.records import iterations_of
from nascompiler.search.study import Study
from tests.netadapt.parts import adaptation, last, said


def test_kills_change_nothing(tmp_path):
    command = [sys.executable, "-m", "tests.netadapt.killed", tmp_path / "killed", "12", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 6
    expected = adaptation(tmp_path / "alone")
    with Study.read(tmp_path / "killed" / "netadapt.study") as study:
        found = iterations_of(study)
        assert len(study.sessions()) > 1
        trials = study.trials()
    with Study.read(tmp_path / "alone" / "netadapt.study") as study:
        assert [(t.number, t.vector, t.seed) for t in study.trials()] == [(t.number, t.vector, t.seed) for t in trials]
    assert said(found) == said(expected)
    assert str(last(tmp_path / "killed")) == str(last(tmp_path / "alone"))
