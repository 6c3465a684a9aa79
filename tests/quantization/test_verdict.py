from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from nascompiler.backends.measure import Kind, Latency, environment
from nascompiler.bench.comparison import Comparison
from nascompiler.quantization.score import Measure, Score
from nascompiler.quantization.verdict import LatencyComparison, Verdict, constant_bytes, measure_latency
from tests.quantization.classifiers import classifier, quantized_classifier

AGREEMENT = Score(Measure.AGREEMENT, 1000, 0.998, None, 0.2, "code for cpu", "the reference evaluation")


def verdict(ratio: float | None, *, spread: float = 0.01, drop: float = 0.2, max_drop: float | None = 1.0) -> Verdict:
    comparison = None
    if ratio is not None:
        first, second = (Latency(Kind.MEASURED, [ns]) for ns in (ratio * 1e6, 1e6))
        comparison = Comparison(first, second, ratio, spread, 12, 1, environment(1, [0]))
    score = replace(AGREEMENT, drop=drop, quantized=1 - drop / 100)
    return Verdict(score, 4000, 1000, LatencyComparison("cpu", comparison, "not asked for"), max_drop)


@pytest.mark.parametrize(
    ("made", "pays", "words"),
    [
        (verdict(2.0), True, "int8 is 2.0x faster on cpu: int8 pays ("),
        (verdict(1 / 2.1), False, "int8 is 2.1x slower on cpu: keep float ("),
        (verdict(1.04), None, "equally fast on cpu, within the noise"),
        (
            verdict(1.2, spread=0.1),
            None,
            "equally fast on cpu, within the noise (ratio 1.20 ± 0.30): int8 pays in size",
        ),
        (verdict(1.2, spread=inf), None, "other processes disturbed the measurement on cpu"),
        (verdict(None), None, "latency on cpu not measured (not asked for): int8 pays in size"),
        (verdict(2.0, drop=3.0), False, "the accuracy is not met, keep float"),
        (verdict(2.0, drop=3.0, max_drop=None), None, "look at the accuracy first"),
    ],
)
def test_one_line_says_what_pays(made: Verdict, pays: bool | None, words: str) -> None:
    assert made.pays is pays
    assert words in str(made)
    assert "\n" not in str(made)
    assert "weights 4.0x smaller" in str(made)


def test_sizes_are_those_of_the_constants() -> None:
    weights = 3 * 3 * 3 * 8 + 3 * 3 * 8 + 8 * 8 + 8 * 6
    biases = 8 + 8 + 6
    assert constant_bytes(classifier()) == 4 * (weights + biases)
    integers = constant_bytes(quantized_classifier(correct_bias=False, equalize=False).graph)
    assert integers == weights + 4 * biases + 4 * (8 + 8 + 8 + 6)


def test_what_cannot_be_measured_is_said() -> None:
    latency = measure_latency(classifier(), classifier(), "abacus")
    assert latency.comparison is None
    assert "abacus" in latency.reason
    assert latency.to_json()["measured"] is False


@pytest.mark.slow
def test_both_are_measured_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASCOMPILER_CACHE", str(tmp_path / "cache"))
    latency = measure_latency(classifier(), quantized_classifier().graph, "cpu", rounds=3, burst_ms=2)
    assert latency.comparison is not None, latency.reason
    assert latency.comparison.first.median_ns > 0
    assert latency.to_json()["int8"]["kind"] == "measured"
    assert str(Verdict(None, 4, 1, latency))
