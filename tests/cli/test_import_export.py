from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

import nascompiler as nc
from nascompiler.ir.builder import Builder


def test_import_then_export_keeps_the_function(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    graph, again = tmp_path / "g.nir", tmp_path / "again.onnx"
    assert cli("import", small_onnx, "-o", graph, "--shape", "image=1x3x8x8").code == 0
    assert graph.exists()
    assert graph.with_suffix(".safetensors").exists()
    assert cli("export", graph, "-o", again).code == 0
    image = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)
    expected, result = (
        onnxruntime.InferenceSession(str(p), providers=["CPUExecutionProvider"]).run(["scores"], {"image": image})[0]
        for p in (small_onnx, again)
    )
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_formats_of_quantised_graphs(cli: Any, tmp_path: Path) -> None:
    b = Builder()
    x = b.qnn.quantize(b.input("x", (2, 3)), scale=0.1)
    graph = b.outputs(y=b.qnn.add(x, x, a_scale=0.1, b_scale=0.1, scale=0.2))
    nc.save(graph, tmp_path / "q.nir")
    for options, expected in (((), "Add"), (("--format", "qoperator"), "QLinearAdd")):
        path = tmp_path / "q.onnx"
        assert cli("export", tmp_path / "q.nir", "-o", path, *options).code == 0
        assert expected in [n.op_type for n in onnx.load(path).graph.node]
    result = cli("export", tmp_path / "q.nir", "-o", tmp_path / "x.onnx", "--format", "qqd")
    assert result.code == 2
    assert "accepted: qdq or qoperator" in result.err
    assert not (tmp_path / "x.onnx").exists()


def test_a_file_that_is_no_model(cli: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"this is no model")
    result = cli("import", bad, "-o", tmp_path / "g.nir")
    assert result.code == 3
    assert "bad.onnx" in result.err
    assert not (tmp_path / "g.nir").exists()


def test_a_damaged_graph_file_is_placed(cli: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.nir"
    bad.write_text("nir 1\ngraph @g(%x: f32[1]) {\n  %y = nn.rleu(%x) : f32[1]\n  return y=%y\n}\n")
    result = cli("inspect", bad)
    assert result.code == 3
    assert "bad.nir:3:8" in result.err
    assert "nn.relu" in result.err
