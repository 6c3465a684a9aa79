"""`nascompiler latency-table` on a tiny space, for real but short; killed, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nascompiler.backends.arm.estimate.tools import INSTALL
from nascompiler.backends.cache import VARIABLE
from nascompiler.backends.measure.lease import VARIABLE as LEASES
from tests.backends.arm.estimate.conftest import missing_tools

SPACE = """nir 1
graph @tiny(%image: f32[1,8,8,3]) {family=mobilenet-v3} {
  choice @block.filters = [4, 8]
  %block = arch.block(%image) {op=depthwise_separable, kernel=3, filters=@block.filters, stride=2}
  %logits = arch.classifier(%block) {classes=3}
  return logits=%logits
}
"""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(LEASES, str(tmp_path / "leases"))
    (tmp_path / "tiny.nir").write_text(SPACE)
    return tmp_path / "tiny.nir"


def test_a_table_is_built_after_a_kill_and_shown(cli, space):
    command = [sys.executable, "-m", "nascompiler", "latency-table", "build", "--space", str(space), "-t", "cpu"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ, start_new_session=True)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("1/"):
            break
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stderr.close()
    time.sleep(0.1)
    built = json.loads(cli("latency-table", "build", "--space", space, "-t", "cpu", "--json").out)
    assert built["complete"]
    assert built["architectures"] == 2
    assert built["known"] >= 1
    assert built["measured"] == built["calls"] - built["known"]
    assert (built["left"], built["failed"]) == (0, [])

    shown = json.loads(cli("latency-table", "show", "--space", space, "-t", "cpu", "--json").out)
    assert len(shown["rows"]) == built["calls"]
    for row in shown["rows"]:
        assert row["median"] > 0
        assert row["count"] >= 15
        assert (row["unit"], row["kind"]) == ("ns", "measured")
        assert row["device"]
    assert shown["missing"] == []
    listed = cli("latency-table", "show", "--space", space, "-t", "cpu")
    assert f"{built['calls']} calls known, 0 to be measured" in listed.err


@pytest.mark.slow
def test_predictions_are_checked_against_networks_measured_whole(cli, space):
    checked = json.loads(cli("latency-table", "check", "--space", space, "-t", "cpu", "-n", 2, "--json").out)
    assert len(checked["pairs"]) == 2
    assert checked["mean_error"] >= 0
    assert all(pair["missing"] == 0 for pair in checked["pairs"])
    shown = cli("latency-table", "show", "--space", space, "-t", "cpu")
    assert "sums against 2 architectures measured end to end" in shown.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["build", "--space", "nope", "-t", "cpu"], "unknown search space 'nope'"),
        (["build", "--space", "mnasnet", "-t", "tpu:v1"], "unknown target with latencies 'tpu'"),
        (["build", "--space", "mnasnet", "-t", "cpu", "--budget", "soon"], "--budget 'soon'"),
        (["show", "--space", "absent.nir", "-t", "cpu"], "cannot read absent.nir"),
    ],
)
def test_bad_input_is_one_clear_message(cli, space, arguments, words):
    result = cli("latency-table", *arguments)
    assert result.code == 2 or "cannot read" in words
    assert result.err.count("\n") == 1
    assert words in result.err


def test_an_architecture_is_no_space(cli, space):
    path = space.with_name("closed.nir")
    path.write_text(SPACE.replace("  choice @block.filters = [4, 8]\n", "").replace("@block.filters", "4"))
    result = cli("latency-table", "build", "--space", path, "-t", "cpu")
    assert result.code == 2
    assert "no choices left open" in result.err


@pytest.mark.skipif(bool(missing_tools()), reason=f"{', '.join(missing_tools())} missing: {INSTALL}")
def test_a_table_for_a_core_that_is_not_here_is_of_estimates(cli, space):
    built = json.loads(cli("latency-table", "build", "--space", space, "-t", "arm:cortex-a76", "--json").out)
    assert (built["measured"], built["left"], built["failed"]) == (built["calls"], 0, [])
    shown = json.loads(cli("latency-table", "show", "--space", space, "-t", "arm:cortex-a76", "--json").out)
    assert {(row["kind"], row["device"]) for row in shown["rows"]} == {("estimated", "cortex-a76")}
    again = json.loads(cli("latency-table", "build", "--space", space, "-t", "arm:cortex-a76", "--json").out)
    assert again["measured"] == 0
    refused = cli("latency-table", "check", "--space", space, "-t", "arm:cortex-a76")
    assert refused.code == 2
    assert "networks are timed whole on cpu only" in refused.err
