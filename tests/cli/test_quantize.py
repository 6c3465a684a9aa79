from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nascompiler as nc
from nascompiler.ir import fingerprint

SHAPE = ("--shape", "image=1x3x12x10")
QUICK = (*SHAPE, "--no-measure")


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Stacked inputs in the layout of the ONNX model, NCHW."""
    images = np.random.default_rng(2).standard_normal((10, 3, 12, 10)).astype(np.float32)
    np.save(tmp_path / "data.npy", images)
    return tmp_path / "data.npy"


def test_quantises_an_onnx_file_and_writes_graph_and_report(cli: Any, small_onnx: Path, data: Path) -> None:
    out, page = data.parent / "q.nir", data.parent / "q.html"
    result = cli("quantize", small_onnx, *QUICK, "--calibration", data, "--report", page, "-o", out)
    assert result.code == 0, result.err
    assert "calibration: 10" in result.err
    assert "as in float" in result.out.splitlines()[-1]
    assert "not measured (not asked for)" in result.out.splitlines()[-1]
    graph = nc.load(out)
    assert {n.op.name for n in graph.nodes} >= {"qnn.conv2d", "qnn.linear"}
    assert graph.inputs[0].type.static_shape == (1, 3, 12, 10)
    assert "<h2>Sensitivity</h2>" in page.read_text()


def test_json_is_all_that_stdout_holds(cli: Any, small_onnx: Path, data: Path) -> None:
    out = data.parent / "q.nir"
    labels = data.parent / "labels.txt"
    labels.write_text("\n".join(str(i % 5) for i in range(10)))
    options = (
        "--labels",
        labels,
        "--samples",
        "6",
        "--keep-float",
        "scores",
        "--method",
        "min-max",
        "--sensitivity",
        "0",
    )
    result = cli("quantize", small_onnx, *QUICK, "--calibration", data, *options, "--json", "-o", out)
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["data"]["samples"] == 6
    assert report["score"]["measure"] == "accuracy"
    assert report["score"]["samples"] == 10
    assert report["settings"]["method"] == "min-max"
    assert report["sensitivity"]["layers"] == []
    assert {row["layer"]: row["placement"] for row in report["layers"]}["scores"] == "float"
    assert report["fingerprint"] == fingerprint(nc.load(out))


def test_generated_data_is_said(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    result = cli("quantize", small_onnx, *QUICK, "--samples", "4", "-o", tmp_path / "q.nir")
    assert result.code == 0, result.err
    assert "warning: calibrated on 4 images generated from seed 0" in result.err


def test_a_missed_gate_is_4_with_everything_written(cli: Any, tmp_path: Path) -> None:
    from nascompiler.ir import Builder

    b = Builder("regression")
    weight = np.random.default_rng(0).standard_normal((16, 1)).astype(np.float32)
    graph = b.outputs(y=b.nn.linear(b.input("x", (1, 16)), b.constant(weight, "w"), name="only"))
    nc.save(graph, tmp_path / "net.nir")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).standard_normal((9, 16)).astype(np.float32))
    out, page = tmp_path / "q.nir", tmp_path / "q.html"
    options = ("--calibration", tmp_path / "x.npy", "--max-drop", "1e-12", "--no-measure", "--report", page)
    result = cli("quantize", tmp_path / "net.nir", *options, "-o", out)
    assert result.code == 4
    assert "loses more than 1e-12 points" in result.err
    assert out.exists()
    assert "the accuracy is not met" in page.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--calibration", "photos"), "no such calibration data: photos"),
        (("--keep-float", "score"), "unknown layer 'score' (did you mean scores?)"),
        (("--method", "mean"), "unknown calibration method 'mean'"),
        (("--mean", "a,b"), "write numbers with commas between"),
        (("--target", "abacus"), "unknown target"),
        (("--report", "q.pdf"), "a report ends in .html"),
    ],
)
def test_bad_options_are_2_and_leave_nothing(
    cli: Any, small_onnx: Path, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    result = cli("quantize", small_onnx, *QUICK, *options, "--samples", "2", "-o", tmp_path / "q.nir")
    assert result.code == 2, result.err
    assert words in result.err.replace("\n", " ")
    assert not (tmp_path / "q.nir").exists()


def test_the_graph_file_ends_in_nir(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    result = cli("quantize", small_onnx, *QUICK, "-o", tmp_path / "q.onnx")
    assert result.code == 2
    assert "a graph file ends in .nir" in result.err


def test_compile_quantises_first_and_says_whether_it_pays(cli: Any, small_onnx: Path, data: Path) -> None:
    folder = data.parent / "artifact"
    result = cli("compile", small_onnx, "--target", "cpu", *QUICK, "--quantize", "--calibration", data, "-o", folder)
    assert result.code == 0, result.err
    assert "as in float" in result.err
    names = {n.op.name for n in nc.load_artifact(folder).source_graph().nodes}
    assert "qnn.conv2d" in names
    refused = cli("compile", small_onnx, "-t", "cpu", *SHAPE, "--calibration", data, "-o", data.parent / "b")
    assert refused.code == 2
    assert "--calibration is for --quantize" in refused.err


def test_the_harness_is_served_int8(small_onnx: Path, data: Path) -> None:
    images = np.load(data)
    np.save(data.parent / "input.npy", images[:3])
    np.save(data.parent / "calib.npy", images)
    outputs = data.parent / "answers.npy"
    command = [sys.executable, "-m", "nascompiler", "bench", "--worker", str(small_onnx), str(data.parent), "1", "int8"]
    worker = subprocess.run(
        [*command, str(outputs)], input="run 1 3\nquit\n", capture_output=True, text=True, check=True
    )
    hello, answer = map(json.loads, worker.stdout.splitlines())
    assert hello["ready"] is True, hello
    assert len(answer["ms"]) == 3
    result = nc.quantize(small_onnx, calibration=images, shapes={"image": (1, 3, 12, 10)}, evaluate=1)
    from nascompiler.ir import evaluate

    expected = [evaluate(result.graph, {"image": image[None]})["scores"][0] for image in images[:3]]
    np.testing.assert_allclose(np.load(outputs), np.stack(expected), atol=1e-5)
