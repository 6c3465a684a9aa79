from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from nascompiler.backends.compile import compile_graph
from nascompiler.backends.measure import Kind, Latency, environment
from nascompiler.bench.comparison import Comparison, compare_artifacts
from tests.quantization.classifiers import classifier


@pytest.mark.slow
def test_an_artifact_is_as_fast_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    compile_graph(classifier(), "cpu", tmp_path / "a")
    found = compare_artifacts(tmp_path / "a", tmp_path / "a", rounds=3, burst_ms=2)
    assert found.ratio > 0
    assert found.noise >= 0.05
    assert found.to_json()["rounds"] == found.rounds


@pytest.mark.parametrize(
    ("ratio", "spread", "decided"),
    [(1.04, 0.0, False), (0.96, 0.0, False), (1.2, 0.01, True), (0.7, 0.05, True), (1.2, 0.07, False), (3, inf, False)],
)
def test_nothing_is_claimed_inside_the_noise(ratio: float, spread: float, decided: bool) -> None:
    latency = Latency(Kind.MEASURED, [1.0])
    assert Comparison(latency, latency, ratio, spread, 12, 1, environment(1, [0])).decided is decided
