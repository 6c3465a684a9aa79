from __future__ import annotations

from math import inf

import numpy as np
import pytest

from nascompiler.ir import Builder, Graph, UsageError, evaluate
from nascompiler.quantization.noise import Noise
from nascompiler.quantization.running import REFERENCE
from nascompiler.quantization.score import NOISE_SAMPLES, Judge, Measure, Score, measure_of
from tests.quantization.classifiers import classifier, images, quantized_classifier


def head(*shape: int) -> Graph:
    b = Builder("head")
    return b.outputs(y=b.nn.relu(b.input("x", shape)))


def test_what_is_measured_depends_on_the_outputs() -> None:
    assert measure_of(head(1, 10), labelled=False) is Measure.AGREEMENT
    assert measure_of(head(1, 10), labelled=True) is Measure.ACCURACY
    assert measure_of(head(1, 24, 97), labelled=False) is Measure.AGREEMENT
    assert measure_of(head(1, 1), labelled=False) is Measure.NOISE
    assert measure_of(head(1, 4, 4, 3), labelled=False) is Measure.NOISE
    b = Builder("two")
    x = b.input("x", (1, 10))
    assert measure_of(b.outputs(a=b.nn.relu(x), b=b.nn.tanh(x)), labelled=False) is Measure.NOISE
    with pytest.raises(UsageError, match=r"labels need a network whose only output is class scores.*y: f32\[1,4,4,3\]"):
        measure_of(head(1, 4, 4, 3), labelled=True)


def test_the_float_network_agrees_with_itself() -> None:
    graph = classifier()
    score = Judge(graph, images(20), count=20).score(graph)
    assert (score.measure, score.quantized, score.drop, score.samples) == (Measure.AGREEMENT, 1.0, 0.0, 20)
    assert score.float_by == score.quantized_by == REFERENCE


def test_accuracy_and_agreement_are_counted() -> None:
    graph, samples = classifier(), images(30)
    quantized = quantized_classifier(outlier=300.0).graph
    graph = classifier(outlier=300.0)
    expected = np.array([evaluate(graph, s)["scores"].argmax() for s in samples])
    found = np.array([evaluate(quantized, s)["scores"].argmax() for s in samples])
    labels = expected.copy()
    labels[:6] = (labels[:6] + 1) % 6
    agreement = Judge(graph, samples, count=30).score(quantized)
    assert agreement.quantized == pytest.approx((expected == found).mean())
    assert agreement.drop == pytest.approx(100 * (expected != found).mean())
    accuracy = Judge(graph, samples, count=30, labels=labels).score(quantized)
    assert accuracy.floating == pytest.approx(24 / 30)
    assert accuracy.quantized == pytest.approx((found == labels).mean())
    assert accuracy.drop == pytest.approx(100 * (24 / 30 - accuracy.quantized))
    assert "float 80.00%" in str(accuracy)


def test_noise_is_in_percent_of_the_energy() -> None:
    b = Builder("doubled")
    x = b.input("image", (1, 8, 8, 3))
    graph = b.outputs(y=b.nn.mul(x, b.constant(np.float32(2.0))))
    b = Builder("almost")
    x = b.input("image", (1, 8, 8, 3))
    other = b.outputs(y=b.nn.mul(x, b.constant(np.float32(1.8))))
    score = Judge(graph, images(100), count=100).score(other)
    assert (score.measure, score.samples) == (Measure.NOISE, NOISE_SAMPLES)
    assert score.quantized == pytest.approx(20.0, abs=1e-3)
    assert score.drop == pytest.approx(1.0, abs=1e-3)
    same = Judge(graph, images(3), count=3).score(graph)
    assert (same.quantized, same.drop, same.to_json()["quantized"]) == (inf, 0.0, None)


def test_noise_of_a_quantised_network_is_that_of_all_its_samples() -> None:
    quantized = quantized_classifier()
    b = Builder("features")
    noise = Noise()
    samples = images(5)
    for sample in samples:
        noise.add(evaluate(quantized.prepared, sample)["scores"], evaluate(quantized.graph, sample)["scores"])
    assert 10 < noise.decibels < 60
    assert b.graph.name == "features"


def test_a_sequence_agrees_where_all_of_it_does() -> None:
    b = Builder("sequence")
    x = b.input("x", (1, 3, 2))
    graph = b.outputs(y=b.nn.relu(x))
    b = Builder("other")
    x = b.input("x", (1, 3, 2))
    flipped = b.outputs(y=b.nn.mul(x, b.constant(np.array([[[1.0, 1], [1, 1], [1, 0]]], np.float32))))
    generator = np.random.default_rng(0)
    samples = [{"x": generator.random((1, 3, 2)).astype(np.float32)} for _ in range(20)]
    last = np.mean([s["x"][0, 2, 0] >= s["x"][0, 2, 1] for s in samples])
    assert Judge(graph, samples, count=20).score(flipped).quantized == pytest.approx(last)


def test_no_samples_are_an_error() -> None:
    with pytest.raises(UsageError, match="no samples to measure"):
        Judge(classifier(), [], count=5)


def test_progress_tells_the_stage_and_the_samples() -> None:
    seen: list[tuple[str, int, int | None]] = []
    graph = classifier()
    judge = Judge(graph, images(40), count=40, progress=lambda *told: seen.append(told))
    judge.score(graph)
    assert [told[1:] for told in seen[-2:]] == [(39, 40), (40, 40)]
    assert {told[0] for told in seen} == {"accuracy of the float network", "accuracy of the quantised network"}


def test_points_are_compared_without_rounding_errors() -> None:
    b = Builder("wrong for some")
    x = b.input("x", (1, 2))
    graph = b.outputs(y=b.nn.relu(x))
    b = Builder("always 0")
    x = b.input("x", (1, 2))
    other = b.outputs(y=b.nn.mul(x, b.constant(np.array([[1.0, 0.0]], np.float32))))
    samples = [{"x": np.array([[1.0, 2.0 if i < 3 else 0.5]], np.float32)} for i in range(1000)]
    labels = (np.arange(1000) % 7 == 0).astype(np.int64)
    labels[:3] = 1
    assert Judge(graph, samples, count=1000).score(other).drop == 0.3
    assert Judge(graph, samples, count=1000, labels=labels).score(other).drop == 0.3


@pytest.mark.parametrize(
    ("drop", "said"), [(0.5, "(-0.50 points)"), (0.0, "(-0.00 points)"), (-0.25, "(+0.25 points)")]
)
def test_a_gain_is_said_as_one(drop: float, said: str) -> None:
    score = Score(Measure.ACCURACY, 400, 0.9, 0.9 + drop / 100, drop, "reference", "reference")
    assert said in str(score)
