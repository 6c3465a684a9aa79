from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

SHAPE = ("--shape", "image=1x3x12x10")


@pytest.fixture(scope="module")
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def private_cache(kernel_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCOMPILER_CACHE", str(kernel_cache))


@pytest.fixture
def artifact(cli: Any, small_onnx: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    result = cli("compile", small_onnx, "--target", "cpu", *SHAPE, "-o", folder)
    assert result.code == 0, result.err
    return folder


def test_compile_verifies_against_both_references(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    result = cli("compile", small_onnx, "--target", "cpu", *SHAPE, "-o", tmp_path / "a", "--verify", "--placement")
    assert result.code == 0
    assert "the reference evaluation and ONNX Runtime" in result.err
    assert "cpu.planar_conv2d" in result.out


def test_run_keeps_names_and_layout(cli: Any, small_onnx: Path, artifact: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(3).standard_normal((1, 3, 12, 10)).astype(np.float32)
    np.save(tmp_path / "x.npy", image)
    session = onnxruntime.InferenceSession(str(small_onnx), providers=["CPUExecutionProvider"])
    expected = session.run(["scores"], {"image": image})[0]
    for given in ("x.npy", "image=x.npy"):
        name, equals, _ = given.partition("=")
        path = f"{name}={tmp_path / 'x.npy'}" if equals else str(tmp_path / "x.npy")
        result = cli("run", artifact, "--input", path, "--output", tmp_path / "y.npy")
        assert result.code == 0, result.err
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-5)


def test_run_refuses_what_does_not_fit(cli: Any, artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    (tmp_path / "no.npy").write_bytes(b"no array")
    output = ("--output", tmp_path / "y.npy")
    wrong_shape = cli("run", artifact, "--input", tmp_path / "x.npy", *output)
    assert wrong_shape.code == 2
    assert "f32[1,3,12,10]" in wrong_shape.err
    assert cli("run", artifact, "--input", tmp_path / "no.npy", *output).code == 2
    assert cli("run", artifact, "--input", tmp_path / "none.npy", *output).code == 2
    unknown = cli("run", artifact, "--input", f"photo={tmp_path / 'x.npy'}", *output)
    assert unknown.code == 2
    assert "image" in unknown.err
    assert cli("run", tmp_path, "--input", tmp_path / "x.npy", *output).code == 3
    assert not (tmp_path / "y.npy").exists()


def test_run_never_unpickles(cli: Any, artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"canary": print}], dtype=object), allow_pickle=True)
    result = cli("run", artifact, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert result.code == 2


def test_output_folder_that_exists_is_left_alone(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    for options in ((), ("--overwrite",)):
        result = cli("compile", small_onnx, "--target", "cpu", *SHAPE, "-o", folder, *options)
        assert result.code == 2
        assert "mine" in result.err
    assert [p.name for p in folder.iterdir()] == ["letter.txt"]


def test_failures_leave_nothing_half_written(cli: Any, small_onnx: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    assert cli("compile", small_onnx, "--target", "gpu", *SHAPE, "-o", folder).code == 2
    assert cli("compile", small_onnx, "--target", "cpu", "-o", folder).code in (2, 3)  # sizes stay open
    assert cli("compile", small_onnx, "--target", "cpu", *SHAPE, "--passes", "no-such", "-o", folder).code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["small.onnx"]


def test_bench_json_holds_the_contract(cli: Any, artifact: Path) -> None:
    result = cli("bench", artifact, "--json", "--rounds", 2, "--burst-ms", 5, "--against", "onnxruntime")
    assert result.code == 0, result.err
    data = json.loads(result.out)
    assert data["kind"] == "measured"
    assert data["threads"] == 1
    assert data["target"].startswith("cpu")
    assert data["repeats"] > 0
    for key in ("median_ns", "mad_ns", "p50_ns", "p90_ns", "p99_ns", "cold_ns"):
        assert data[key] >= 0
    assert {"name", "op", "ns", "macs", "bytes", "weight_bytes", "kernel"} == set(data["layers"][0])
    assert sum(layer["ns"] for layer in data["layers"]) == pytest.approx(data["median_ns"])
    assert data["environment"]["cores"] >= 1
    assert data["peers"][0]["name"] == "onnxruntime"
    assert data["peers"][0]["ratio"] > 0


def test_bench_table_and_profile(cli: Any, artifact: Path) -> None:
    result = cli("bench", artifact, "--profile", "--rounds", 1, "--burst-ms", 5)
    assert result.code == 0, result.err
    assert "median" in result.out
    assert "cpu.planar_conv2d" in result.out
    assert "end to end" in result.err


def test_bench_refuses_unknown_runtimes_and_folders(cli: Any, artifact: Path, tmp_path: Path) -> None:
    result = cli("bench", artifact, "--against", "abacus")
    assert result.code == 2
    assert "onnxruntime" in result.err
    assert cli("bench", tmp_path).code == 3
    assert cli("bench", artifact, artifact).code == 2


def test_worker_speaks_the_harness_protocol(small_onnx: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(5).standard_normal((3, 3, 12, 10)).astype(np.float32)
    np.save(tmp_path / "input.npy", images)
    outputs = tmp_path / "answers.npy"
    command = [sys.executable, "-m", "nascompiler", "bench", "--worker", str(small_onnx), str(tmp_path), "1"]
    worker = subprocess.run(
        [*command, "fp32", str(outputs)], input="run 1 3\nquit\n", capture_output=True, text=True, check=True
    )
    hello, answer = map(json.loads, worker.stdout.splitlines())
    assert hello["ready"] is True
    assert len(answer["ms"]) == 3
    session = onnxruntime.InferenceSession(str(small_onnx), providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])
    np.testing.assert_allclose(np.load(outputs), expected, atol=1e-5)
    refused = subprocess.run([*command, "int3", str(outputs)], input="", capture_output=True, text=True, check=True)
    assert json.loads(refused.stdout)["ready"] is False
