from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nascompiler.ir import Builder, UsageError, evaluate
from nascompiler.passes.quantization.quantizer import quantize_graph, replan
from nascompiler.quantization.noise import Noise
from nascompiler.quantization.sensitivity import layers_of, sensitivity
from tests.quantization.classifiers import classifier, images, quantized_classifier

LAYERS = {"stem", "depthwise", "pointwise", "sum", "pool", "scores"}


def ratio(expected, found, samples) -> float:
    noise = Noise()
    for sample in samples:
        noise.add(evaluate(expected, sample)["scores"], evaluate(found, sample)["scores"])
    return noise.decibels


def test_every_layer_that_computes_has_a_row_and_the_worst_stands_first() -> None:
    rows = sensitivity(quantized_classifier(), images(3), samples=2)
    assert {row.layer for row in rows} == LAYERS
    assert [row.isolated for row in rows] == sorted(row.isolated for row in rows)
    assert all(10 < row.isolated < 80 and 5 < row.cumulative < 80 for row in rows)
    assert all(0 <= row.weight_share <= 1 for row in rows)
    shares = {row.layer: row.weight_share for row in rows}
    assert shares["pool"] == shares["sum"] == 0
    assert shares["stem"] > 0


def test_the_last_layer_alone_is_a_network_with_all_others_in_float() -> None:
    quantized, samples = quantized_classifier(), images(3)
    rows = {row.layer: row for row in sensitivity(quantized, samples, samples=3)}
    others = replace(quantized.settings, keep_float=tuple(LAYERS - {"scores"}))
    alone = replan(quantized, others)
    assert rows["scores"].isolated == pytest.approx(ratio(quantized.prepared, alone.fake, samples), abs=0.05)


def test_all_layers_together_are_the_quantised_network() -> None:
    quantized, samples = quantized_classifier(), images(3)
    rows = {row.layer: row for row in sensitivity(quantized, samples, samples=3)}
    assert rows["scores"].cumulative == pytest.approx(ratio(quantized.prepared, quantized.fake, samples), abs=1e-3)


def test_a_channel_that_is_larger_than_the_others_is_found() -> None:
    quantized = quantized_classifier(outlier=300.0, equalize=False)
    rows = sensitivity(quantized, images(4))
    assert rows[0].layer in ("pointwise", "sum", "pool")
    assert rows[0].weight_share < 0.5
    assert rows[0].isolated < 20


def test_layers_in_float_have_no_row() -> None:
    quantized = quantized_classifier(keep_float=("depthwise",), wide=("sum",))
    assert {row.layer for row in sensitivity(quantized, images(1))} == LAYERS - {"depthwise"}


def test_tables_and_weights_of_one_scale() -> None:
    rows = sensitivity(quantized_classifier(tables=True, per_channel=False), images(2))
    assert len(rows) == len(LAYERS) + 1


def test_progress_and_no_data() -> None:
    quantized, seen = quantized_classifier(), []
    sensitivity(quantized, images(5), samples=2, progress=seen.append)
    assert seen == list(range(1, 2 * len(layers_of(quantized)) + 1))
    with pytest.raises(UsageError, match="at least one sample"):
        sensitivity(quantized, [])


def test_a_saturated_softmax_hides_nothing() -> None:
    plain = classifier()
    graph = plain.clone()
    b = Builder(graph)
    probabilities = b.nn.softmax(b.nn.mul(graph.outputs[0], b.constant(np.float32(1000))))
    graph.set_outputs({"scores": b.nn.reshape(probabilities, shape=(6,))})
    rows = sensitivity(quantize_graph(graph, images(8)), images(3))
    assert all(row.isolated < 80 for row in rows)
