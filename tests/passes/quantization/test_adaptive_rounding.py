"""Rounding that keeps what a layer gives."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from nascompiler.ir import ModelError, evaluate
from nascompiler.passes.quantization.adaptive_rounding import adaptive_rounding, choose
from nascompiler.passes.quantization.bias_correction import corrected_biases, rounded
from tests.passes.networks import Writer
from tests.passes.quantization.networks import observed, planned, random_inputs, signal_to_noise
from tests.passes.quantization.test_bias_correction import coarse, network
from tests.passes.test_fold_batch_norm import LAYERS, layer


def change(moments, weight, integers):
    d = integers - weight
    return np.einsum("gko,gkl,glo->go", d, moments, d)


def correlated(random, depth, groups=1):
    """Second moments of inputs that have much in common, as neighbouring pixels have."""
    mixed = random.standard_normal((groups, 40, depth)) @ random.standard_normal((groups, depth, depth))
    mixed += 2 * random.standard_normal((groups, 40, 1))
    moments = np.matmul(mixed.transpose(0, 2, 1), mixed)
    return moments / np.einsum("gkk->g", moments)[:, None, None] * depth


@pytest.mark.parametrize("steps", [0, 200])
def test_choices_are_near_the_best_there_are(steps):
    random = np.random.default_rng(0)
    weight = random.uniform(-5, 5, (1, 8, 12))
    moments = correlated(random, 8)
    found = change(moments, weight, choose(moments, weight, steps, 127))
    every = np.floor(weight)[..., None] + np.array(list(product((0, 1), repeat=8))).T[None, :, None]
    best = np.min([change(moments, weight, every[..., i]) for i in range(256)], axis=0)
    nearest = change(moments, weight, np.rint(weight))
    assert np.all(found <= nearest + 1e-9)
    assert found.sum() < (2 if steps == 0 else 1.5) * best.sum()
    assert found.sum() < 0.9 * nearest.sum()


def test_choices_are_the_integers_on_both_sides():
    random = np.random.default_rng(1)
    weight = random.uniform(-9, 9, (3, 6, 4))
    integers = choose(correlated(random, 6, groups=3), weight, 50, 7)
    np.testing.assert_array_equal(integers, np.rint(integers))
    assert np.abs(integers).max() <= 7
    inside = np.abs(weight) < 7
    assert np.abs(integers - weight)[inside].max() < 1


def test_independent_inputs_round_to_the_nearest():
    weight = np.random.default_rng(2).uniform(-9, 9, (1, 6, 4))
    np.testing.assert_array_equal(choose(np.eye(6)[None], weight, 100, 127), np.rint(weight))


@pytest.mark.parametrize("kind", [k for k in LAYERS if "transposed" not in k])
def test_layers_of_every_kind_change_less(kind):
    writer = Writer(3, channels_first=False)
    graph = writer.builder.outputs(y=layer(writer, kind, writer.input(6, 7, 4)))
    node = next(graph.nodes)
    samples = [{"x": np.abs(a["x"]) + a["x"].mean(axis=3, keepdims=True)} for a in random_inputs(graph, 12)]
    scale = np.full(8, 0.4, np.float32)
    (found,) = adaptive_rounding(graph, {node: scale}, samples).values()
    weight = node.operands[1].array
    assert found.shape == weight.shape
    np.testing.assert_array_equal(found, rounded(found, scale))
    assert np.abs(found - weight).max() < 0.4

    def error(other):
        changed = graph.clone()
        first = next(changed.nodes)
        changed.set_operand(first, 1, changed.constant(other))
        results = [evaluate(changed, s)["y"] - evaluate(graph, s)["y"] for s in samples]
        return float(np.mean([np.square(r, dtype=np.float64).mean() for r in results]))

    assert error(found) < 0.8 * error(rounded(weight, scale))


def test_transposed_convolutions_are_left_out():
    writer = Writer(3, channels_first=False)
    graph = writer.builder.outputs(y=layer(writer, "transposed", writer.input(6, 7, 4)))
    assert adaptive_rounding(graph, {next(graph.nodes): np.ones(8, np.float32)}, random_inputs(graph, 1)) == {}


def image_network():
    """Without pooling: what comes out depends on more than the mean of what goes in."""
    writer = Writer(7, channels_first=False)
    nn = writer.builder.nn
    x = nn.relu(writer.conv(writer.input(10, 10, 3), 8, 3))
    x = nn.relu6(writer.conv(x, 8, 3, groups=8))
    x = nn.add(x, nn.relu(writer.conv(x, 8, 1)))
    return writer.builder.outputs(y=writer.conv(nn.relu(writer.conv(x, 16, 1)), 4, 3))


def test_a_network_of_coarse_weights_gains():
    parameters = coarse(planned(image_network()))
    graph = parameters.plan.graph
    samples, others = random_inputs(graph, 12, seed=5), random_inputs(graph, 4, seed=6)
    means: dict = {}
    for value, array in observed(graph, samples):
        means.setdefault(value, []).append(array.reshape(-1, array.shape[-1]).mean(axis=0))
    means = {v: np.mean(m, axis=0) for v, m in means.items()}
    done: list[int] = []
    weights = adaptive_rounding(graph, parameters.weights, samples, progress=done.append)
    assert done == [1, 2, 3, 4, 5]

    def noise(weight_values):
        biases = corrected_biases(parameters.weights, means, weights=weight_values)
        fake = parameters.fake(weight_values=weight_values, biases=biases)
        return np.mean([signal_to_noise(evaluate(graph, s)["y"], evaluate(fake, s)["y"]) for s in others])

    assert noise(weights) > noise({}) + 1


def test_the_same_seed_gives_the_same_weights():
    parameters = planned(network())
    samples = random_inputs(parameters.plan.graph, 2)
    runs = [adaptive_rounding(parameters.plan.graph, parameters.weights, samples, steps=30) for _ in range(2)]
    for one, other in zip(*(run.values() for run in runs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_needs_samples():
    parameters = planned(network())
    with pytest.raises(ModelError, match="chosen by samples, and there is none"):
        adaptive_rounding(parameters.plan.graph, parameters.weights, [])
