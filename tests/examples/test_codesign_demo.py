"""The small codesign runs to its end."""

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "codesign_demo.py"


@pytest.mark.slow  # searches, trains, compiles and measures
def test_it_runs():
    done = subprocess.run([sys.executable, DEMO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "artifact, verified" in done.stdout
    assert done.stdout.strip().endswith(("met", "missed"))
