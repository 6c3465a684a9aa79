"""Mean shifts by rounded weights leave the biases: exactly where means say all, else as measured."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, ModelError, evaluate
from nascompiler.passes.quantization.bias_correction import (
    corrected_biases,
    expected_result,
    measured_biases,
    rounded,
)
from tests.passes.networks import Writer
from tests.passes.quantization.networks import observed, planned, random_inputs
from tests.passes.test_fold_batch_norm import LAYERS, layer


def one_layer(kind: str):
    """A graph of one layer on a 6 x 7 image with 4 channels, and the layer."""
    writer = Writer(3, channels_first=False)
    graph = writer.builder.outputs(y=layer(writer, kind, writer.input(6, 7, 4)))
    return graph, next(graph.nodes)


def flat_image(graph, means):
    """An image that has the same number everywhere in a channel."""
    return {"x": np.broadcast_to(means, graph.inputs[0].type.static_shape).astype(np.float32)}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_expected_result_of_a_flat_image_is_its_mean_result(kind):
    graph, node = one_layer(kind)
    means = np.array([0.5, -1.0, 2.0, 0.25])
    result = evaluate(graph, flat_image(graph, means))["y"].astype(np.float64)
    expected = expected_result(node, node.operands[1].array, means)
    if len(node.operands) > 2:
        expected = expected + node.operands[2].array
    np.testing.assert_allclose(result.reshape(-1, 8).mean(axis=0), expected, rtol=1e-5, atol=1e-6)


def test_the_expected_result_knows_output_padding():
    builder = Builder()
    x = builder.input("x", (1, 3, 3, 2))
    weight = builder.constant(np.arange(36, dtype=np.float32).reshape(3, 3, 2, 2))
    graph = builder.outputs(
        y=builder.nn.conv2d_transpose(x, weight, strides=(2, 2), padding=(1, 0, 2, 1), output_padding=(1, 0))
    )
    means = np.array([1.0, -0.5])
    result = evaluate(graph, flat_image(graph, means))["y"].reshape(-1, 2).mean(axis=0)
    np.testing.assert_allclose(expected_result(next(graph.nodes), weight.array, means), result, rtol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
def test_corrected_biases_keep_the_mean_of_a_flat_image(kind):
    graph, node = one_layer(kind)
    means = np.array([0.5, -1.0, 2.0, 0.25])
    scales = np.array([0.3], np.float32)  # coarse
    bias = corrected_biases({node: scales}, {graph.inputs[0]: means})[node]
    assert bias.dtype == np.float32
    assert bias.shape == (8,)

    exact = evaluate(graph, flat_image(graph, means))["y"]
    weight = graph.constant(rounded(node.operands[1].array, scales), "")
    graph.set_operands(node, (node.operands[0], weight, graph.constant(bias)))
    rough = evaluate(graph, flat_image(graph, means))["y"]
    np.testing.assert_allclose(rough.reshape(-1, 8).mean(axis=0), exact.reshape(-1, 8).mean(axis=0), atol=1e-5)


def test_weights_on_the_grid_need_no_correction():
    graph, node = one_layer("conv bias")
    scales = np.full(8, 0.25, np.float32)
    on_grid = rounded(node.operands[1].array, scales)
    graph.set_operand(node, 1, graph.constant(on_grid))
    bias = corrected_biases({node: scales}, {graph.inputs[0]: np.ones(4)})[node]
    np.testing.assert_array_equal(bias, node.operands[2].array)


def test_other_weights_may_be_the_ones_that_are_rounded():
    graph, node = one_layer("linear bias")
    scales = np.full(8, 0.5, np.float32)
    chosen = rounded(node.operands[1].array, scales) + np.float32(0.5)  # all one step up
    bias = corrected_biases({node: scales}, {graph.inputs[0]: np.ones(4)}, weights={node: chosen})[node]
    shift = np.ones(4) @ (chosen - node.operands[1].array)
    np.testing.assert_allclose(bias, node.operands[2].array - shift, rtol=1e-5)


def test_layers_without_means_are_left_alone():
    graph, node = one_layer("conv")
    assert corrected_biases({node: np.ones(8, np.float32)}, {}) == {}
    assert graph.inputs


def network():
    """Depthwise and plain convolutions behind relus, whose means are far from 0, and a classifier."""
    writer = Writer(7, channels_first=False)
    nn = writer.builder.nn
    x = nn.relu(writer.conv(writer.input(10, 10, 3), 8, 3))
    x = nn.relu6(writer.conv(x, 8, 3, groups=8))
    x = nn.add(x, nn.relu(writer.conv(x, 8, 1)))
    x = nn.flatten(nn.global_average_pool(writer.conv(x, 16, 1)))
    return writer.builder.outputs(y=nn.linear(x, writer.builder.constant(writer.weights(16, 5))))


def layer_means(graph, samples):
    sums: dict = {}
    for value, array in observed(graph, samples):
        if value.producer is not None and value.producer.op.name in ("nn.conv2d", "nn.linear"):
            sums.setdefault(value, []).append(array.reshape(-1, array.shape[-1]).mean(axis=0, dtype=np.float64))
    return [np.mean(found, axis=0) for found in sums.values()]


def mean_error(parameters, samples, biases):
    """The error of the layers' mean results, by layer, in shares of the largest mean."""
    exact = layer_means(parameters.plan.graph, samples)
    rough = layer_means(parameters.fake(biases=biases), samples)
    return [np.abs(a - b).max() / np.abs(a).max() for a, b in zip(exact, rough, strict=True)]


def coarse(parameters):
    """With weights of about four bits, which shift means a lot."""
    parameters.weights = {node: scales * 16 for node, scales in parameters.weights.items()}
    return parameters


def test_means_from_calibration_bring_the_means_of_layers_back():
    parameters = coarse(planned(network()))
    graph = parameters.plan.graph
    samples = random_inputs(graph, 8, seed=5)
    means: dict = {}
    for value, array in observed(graph, samples):
        means.setdefault(value, []).append(array.reshape(-1, array.shape[-1]).mean(axis=0))
    found = {v: np.mean(m, axis=0) for v, m in means.items()}
    biases = corrected_biases(parameters.weights, found)
    assert len(biases) == 5
    before, after = mean_error(parameters, samples, {}), mean_error(parameters, samples, biases)
    assert sum(after) < 0.5 * sum(before)


def test_measured_biases_make_the_means_of_layers_those_of_the_float_network():
    parameters = coarse(planned(network()))
    samples = random_inputs(parameters.plan.graph, 4, seed=5)
    biases = measured_biases(parameters.plan.graph, parameters.fake(), parameters.weights, samples)
    assert biases.keys() == parameters.weights.keys()
    assert max(mean_error(parameters, samples, {})) > 0.02
    assert max(mean_error(parameters, samples, biases)) < 1e-3  # what was rounded the other way since


def test_measured_biases_start_from_any_biases():
    parameters = coarse(planned(network()))
    samples = random_inputs(parameters.plan.graph, 4, seed=5)
    wrong = {n: np.full(n.result.type.static_shape[-1], 0.05, np.float32) for n in parameters.weights}
    fake = parameters.fake(biases=wrong)
    biases = measured_biases(parameters.plan.graph, fake, parameters.weights, samples)
    assert max(mean_error(parameters, samples, biases)) < 1e-3


def test_measuring_needs_samples():
    parameters = planned(network())
    with pytest.raises(ModelError, match="by samples, and there is none"):
        measured_biases(parameters.plan.graph, parameters.fake(), parameters.weights, [])
