"""Searches with children that are really trained: a kill at any moment changes nothing."""

import random
import signal
import subprocess
import sys
import time

import pytest

from nascompiler.search.study import Study

pytest.importorskip("torch")

COMMAND = (
    *(sys.executable, "-m", "nascompiler", "search", "--space", "mnasnet-glyphs", "--data", "digits"),
    *("--resolution", "16", "--target", "none", "--controller", "evolution", "--seed", "4"),
    *("--proxy", "recipe.epochs=1", "--trials", "8", "--json", "--study"),
)


def whole(study, *options):
    done = subprocess.run([*COMMAND, study, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Study.read(study) as opened:
        trials = opened.trials()
    return [(t.number, t.vector, t.seed, t.told, t.evaluation.curve, t.evaluation.macs, t.repeats) for t in trials]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["1", "2"])
def test_kills_change_nothing(tmp_path, parallel):
    study = tmp_path / "killed.study"
    points = random.Random(0)
    for number in range(3):
        options = ("--resume",) if number else ("--parallel", parallel)
        process = subprocess.Popen([*COMMAND, study, *options], stderr=subprocess.PIPE, text=True)
        for line in process.stderr:  # until it has begun with trials, then some more time
            if line.startswith("trial"):
                break
        time.sleep(points.uniform(0, 2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    assert whole(study, "--resume") == whole(tmp_path / "undisturbed.study", "--parallel", parallel)
