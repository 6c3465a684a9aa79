from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.peers import measure as module
from benchmarks.peers.measure import command, measure
from benchmarks.peers.results import OURS, Case, Failure, Result
from benchmarks.peers.runtimes import RUNTIMES, Entry, OnnxRuntime


def test_ours_joins_by_the_worker_of_the_package() -> None:
    folder = Path("models") / "m"
    ours = command(OURS, "int8", 2, folder, Path("o.npy"))
    assert ours[:3] == [sys.executable, "-m", "nascompiler.bench.harness_worker"]
    assert ours[3:] == [str(folder / "fp32.onnx"), str(folder), "2", "int8", "o.npy"]
    theirs = command("ncnn", "fp32", 1, folder, Path("o.npy"))
    assert theirs[1:] == ["-m", "benchmarks.peers.worker", "ncnn", str(folder), "1", "fp32", "o.npy"]


def test_nothing_is_dropped_silently(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Entry("no_such_module", OnnxRuntime, {"fp32": "fp32.onnx"})
    monkeypatch.setattr(module, "RUNTIMES", {**RUNTIMES, "missing": missing})
    monkeypatch.setattr(module, "command", lambda *_: [sys.executable, "-c", "raise SystemExit(4)"])
    found = measure("tiny", ["missing", "onnxruntime"], "fp32", 1, tiny, rounds=1, burst_ms=5, nice=0)
    assert found == [
        Failure(Case("tiny", "missing", "fp32", 1), "not installed: no module no_such_module"),
        Failure(Case("tiny", "onnxruntime", "fp32", 1), "its process ended with exit code 4"),
    ]


@pytest.mark.slow
def test_a_small_run(tiny: Path) -> None:
    (found,) = measure("tiny", ["onnxruntime"], "fp32", 1, tiny, rounds=3, burst_ms=20, nice=0)
    assert isinstance(found, Result)
    assert found.case == Case("tiny", "onnxruntime", "fp32", 1)
    assert found.accuracy.cosine == pytest.approx(1)
    assert found.accuracy.top1 == 1
    assert 0 < found.p10_ms <= found.median_ms <= found.p90_ms
    assert len(found.rounds_ms) == 3
    assert found.runs >= 3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_ours_runs_beside_it(tiny: Path, dtype: str) -> None:
    (tiny / "ort_int8.onnx").write_bytes((tiny / "fp32.onnx").read_bytes())
    found = measure("tiny", [OURS, "onnxruntime"], dtype, 1, tiny, rounds=2, burst_ms=20, nice=0)
    assert [line.case.peer for line in found] == [OURS, "onnxruntime"]
    for line in found:
        assert isinstance(line, Result), line
        assert line.accuracy.cosine > 0.99
