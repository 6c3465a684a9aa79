from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nascompiler.passes import PASSES

SCRIPT = '''from nascompiler.passes import Nothing, Pass, Rewriter, register_pass

@register_pass
class CapRelu(Pass):
    """Caps every relu at 6."""
    preserves = Nothing("values above 6 change")
    def run(self, graph, context):
        for node in [n for n in graph.nodes if n.op.name == "nn.relu"]:
            Rewriter(graph).replace_op(node, "nn.relu6", node.operands)
'''
FAILING = '''from nascompiler.passes import Pass, register_pass

@register_pass
class Stumble(Pass):
    """Fails."""
    def run(self, graph, context):
        raise RuntimeError("stumbled")
'''


@pytest.fixture(autouse=True)
def clean_registry() -> Any:
    before = dict(PASSES._passes)
    yield
    PASSES._passes.clear()
    PASSES._passes.update(before)


def test_a_pass_of_ten_lines_runs_by_name(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    script = tmp_path / "my_passes.py"
    script.write_text(SCRIPT)
    assert len(SCRIPT.splitlines()) <= 10
    result = cli("opt", small_onnx, "--passes", "cap-relu", "--load", script)
    assert result.code == 0
    assert "nn.relu6" in result.out
    assert "cap-relu" in cli("passes", "--load", script).out


def test_changes_are_written_in_numbered_files(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    script = tmp_path / "my_passes.py"
    script.write_text(SCRIPT)
    folder, output = tmp_path / "ir", tmp_path / "o.nir"
    options = ("--load", script, "--print-after-change", folder, "-o", output)
    result = cli("opt", small_onnx, "--passes", "cap-relu,cap-relu", *options)
    assert result.code == 0
    assert sorted(p.name for p in folder.iterdir()) == ["000-input.nir", "001-cap-relu.nir"]
    assert output.exists()


def test_unknown_pass_option_and_missing_script(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    result = cli("opt", small_onnx, "--passes", "fold-batchnorm")
    assert result.code == 2
    assert "fold-batch-norm" in result.err
    result = cli("opt", small_onnx, "--passes", "fold-batch-norm{speed=3}")
    assert result.code == 2
    assert "speed" in result.err
    assert cli("opt", small_onnx, "--passes", "canonicalize", "--load", tmp_path / "none.py").code == 2


def test_a_failing_pass_leaves_a_reproducer_that_replays(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    result = cli(
        "opt", small_onnx, "--passes", "canonicalize,stumble,canonicalize", "--load", script, "--reproducer", tmp_path
    )
    assert result.code == 1
    reproducer = tmp_path / "reproducer-stumble.nir"
    assert str(reproducer) in result.err
    again = cli("opt", reproducer, "--load", script, "--reproducer", tmp_path / "second")
    assert again.code == 1
    assert "stumbled" in again.err


def test_timing_and_numeric_check(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    arguments = ("--passes", "canonicalize", "--timing", "--numeric-check", "-o", tmp_path / "o.nir")
    result = cli("opt", small_onnx, "--shape", "image=1x3x8x8", *arguments)
    assert result.code == 0
    assert "canonicalize" in result.out
