"""Layers follow other scales of what comes in and goes out, and their magnitudes say by how much weights change."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import evaluate
from nascompiler.passes.equalization.layers import Layer, is_depthwise, scaled_weight, why_fixed
from tests.passes.networks import Writer
from tests.passes.test_fold_batch_norm import LAYERS, layer


def one_layer(kind: str):
    writer = Writer(5, channels_first=False)
    graph = writer.builder.outputs(y=layer(writer, kind, writer.input(6, 7, 4)))
    return graph, next(graph.nodes)


@pytest.mark.parametrize("kind", LAYERS)
def test_scaled_weights_undo_the_scale_of_inputs_and_make_that_of_results(kind):
    graph, node = one_layer(kind)
    random = np.random.default_rng(0)
    before, after = random.uniform(0.1, 10, 4), random.uniform(0.1, 10, 8)
    x = random.standard_normal(graph.inputs[0].type.static_shape).astype(np.float32)
    exact = evaluate(graph, {"x": x})["y"] * after
    operands = [node.operands[0], graph.constant(scaled_weight(node, before, after))]
    if len(node.operands) > 2:
        operands.append(graph.constant((node.operands[2].array * after).astype(np.float32)))
    graph.set_operands(node, operands)
    scaled = evaluate(graph, {"x": (x * before).astype(np.float32)})["y"]
    np.testing.assert_allclose(scaled, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", LAYERS)
def test_magnitudes_are_those_of_the_scaled_weights(kind):
    _, node = one_layer(kind)
    before, after = np.linspace(0.5, 2, 4), np.linspace(3, 0.1, 8)
    found, weight = Layer(node), np.abs(scaled_weight(node, before, after))
    groups = {"grouped": 2, "depthwise": 4}.get(kind.split()[0], 2 if "grouped" in kind else 1)
    if kind.startswith("transposed"):  # [kh, kw, C, O / groups]
        by_input = weight.max(axis=(0, 1, 3))
        by_output = weight.reshape(*weight.shape[:2], groups, -1, weight.shape[3]).max(axis=(0, 1, 3)).reshape(-1)
    else:  # [..., C / groups, O]
        weight = weight.reshape(-1, *weight.shape[-2:]).max(axis=0)
        by_output = weight.max(axis=0)
        by_input = weight.reshape(len(weight), groups, -1).max(axis=2).T.reshape(-1)
    np.testing.assert_allclose(found.by_input(before, after), by_input, rtol=1e-6)
    np.testing.assert_allclose(found.by_output(before, after), by_output, rtol=1e-6)


def test_depthwise_layers_and_fixed_ones():
    assert [is_depthwise(one_layer(kind)[1]) for kind in ("conv", "grouped bias", "depthwise padded", "linear")] == [
        False,
        False,
        True,
        False,
    ]
    graph, node = one_layer("conv")
    assert why_fixed(node) is None
    graph.set_attributes(node, activation="hard_swish")
    assert why_fixed(node) == "hard_swish is fused to it"
