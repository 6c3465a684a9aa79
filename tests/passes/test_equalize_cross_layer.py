"""Equalised networks compute what they did, badly scaled channels are repaired, and misses say why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nascompiler as nc
from nascompiler.architecture import expanded
from nascompiler.ir import DType, Graph, evaluate
from nascompiler.ir.channels import channel_structure
from nascompiler.passes import PassContext, PassManager
from nascompiler.passes.equalization.classes import scale_classes
from nascompiler.passes.equalization.layers import scaled_weight
from nascompiler.passes.equalize_cross_layer import EqualizeCrossLayer, equalize
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify
from nascompiler.passes.quantization.plan import make_plan
from nascompiler.passes.quantization.preparation import prepare
from tests.ir.channel_networks import random_network as double_network
from tests.passes.networks import Writer, random_network
from tests.passes.quantization.networks import observed, parameters, random_inputs, signal_to_noise

PASS = "equalize-cross-layer"


def distorted(graph: Graph, seed: int = 0, decades: float = 2) -> int:
    """Scale channels at random, in place, by up to 10**decades; the network stays what it is. Returns how many.

    In the geometric mean the channels of a class keep their scale.
    """
    random = np.random.default_rng(seed)
    found = scale_classes(graph)
    exponents = [random.uniform(-decades, decades, c.length) for c in found.classes]
    scales = [
        np.ones(c.length) if c.fixed or not c.makers else 10 ** (e - e.mean())
        for c, e in zip(found.classes, exponents, strict=True)
    ]
    for node in {n: None for c in found.classes for n in (*c.makers, *c.takers)}:
        before, after = found.along(node.operands[0], scales), found.along(node.results[0], scales)
        operands = [node.operands[0], graph.constant(scaled_weight(node, before, after))]
        for bias in node.operands[2:]:
            operands.append(graph.constant((bias.array * after).astype(bias.array.dtype)))
        graph.set_operands(node, operands)
    return sum(len(s) for s in scales if not np.all(s == 1))


def difference(graph: Graph, other: Graph, inputs) -> float:
    """The largest difference in shares of the largest output."""
    a, b = evaluate(graph, inputs), evaluate(other, inputs)
    return max(float(np.abs(a[k] - b[k]).max() / (np.abs(a[k]).max() or 1)) for k in a)


def equalized(graph: Graph) -> Graph:
    copy = graph.clone()
    equalize(copy)
    return copy


@pytest.mark.parametrize(
    "name, resolution, classes",
    [
        ("mobilenet-v1", 32, 0),
        ("mobilenet-v2", 32, 7),
        ("mnasnet-a1", 32, 48),
        ("mobilenet-v3-small", 64, 19),
        pytest.param("resnet-50", 64, 37, marks=pytest.mark.slow),
    ],
)
def test_zoo_networks_stay_what_they_are(name, resolution, classes):
    graph = prepare(expanded(nc.load(name, resolution=resolution)))
    context, copy = PassContext(), graph.clone()
    EqualizeCrossLayer().run(copy, context)
    assert context.statistics["classes of channels equalised"] == classes
    assert difference(graph, copy, random_inputs(graph, 1)[0]) < 2e-5


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_stay_what_they_are(seed):
    numeric = NumericCheck(images=1)
    graph = prepare(random_network(seed, channels_first=bool(seed % 2)))
    result = PassManager([Verify(), numeric]).run(graph, PASS)
    assert not numeric.skipped
    assert result.version >= 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_in_double_precision_no_channel_is_mistaken(seed):
    graph = double_network(seed)
    copy = graph.clone()
    distorted(copy, seed, decades=1)
    equalize(copy)
    inputs = {v.name: np.random.default_rng(seed).standard_normal(v.type.static_shape) for v in graph.inputs}
    assert graph.inputs[0].type.dtype is DType.F64
    assert difference(graph, copy, inputs) < 1e-9


def residual_network() -> Graph:
    """Dense, grouped and depthwise convolutions with residuals, a concat, pooling and a classifier, all behind relu."""
    writer = Writer(11, channels_first=False)
    nn = writer.builder.nn
    x = nn.relu(writer.conv(writer.input(12, 12, 3), 8, 3))
    inner = nn.relu(writer.conv(x, 16))
    inner = nn.relu(writer.conv(inner, 16, 3, groups=16))
    x = nn.add(x, writer.conv(inner, 8))
    x = nn.concat(nn.relu(writer.conv(x, 4, 3)), nn.max_pool2d(nn.relu(writer.conv(x, 6)), kernel=(1, 1)), axis=3)
    x = nn.average_pool2d(nn.relu(writer.conv(x, 10, 3, groups=2)), kernel=(2, 2), strides=(2, 2))
    flat = nn.flatten(x)
    scores = nn.linear(flat, writer.builder.constant(writer.weights(flat.type.static_shape[1], 5, scale=0.1)))
    return writer.builder.outputs(y=scores)


def test_distorted_channels_are_repaired_exactly():
    graph = residual_network()
    bent = graph.clone()
    assert distorted(bent) > 40
    assert difference(graph, bent, random_inputs(graph, 1)[0]) < 1e-4
    constants = zip(equalized(graph).constants, equalized(bent).constants, strict=True)
    for straight, repaired in constants:
        np.testing.assert_allclose(repaired.array, straight.array, rtol=0.05)


def test_quantising_a_distorted_network_needs_it():
    graph = residual_network()
    samples = random_inputs(graph, 8)
    inputs = samples[0]
    exact = evaluate(graph, inputs)["y"]

    def noise(candidate: Graph) -> float:
        fake = parameters(make_plan(candidate), samples).fake()
        return signal_to_noise(exact, evaluate(fake, inputs)["y"])

    bent = graph.clone()
    distorted(bent)
    assert noise(bent) < 20
    assert noise(equalized(bent)) > 27
    assert noise(equalized(graph)) > noise(graph) - 3


def test_observed_ranges_take_the_place_of_weights():
    graph = residual_network()
    distorted(graph)
    samples = random_inputs(graph, 2)

    def spread(candidate: Graph) -> float:
        """By how much channels of one tensor differ, on average over tensors that layers take, in decades."""
        largest: dict = {}
        for value, array in observed(candidate, samples):
            if value.type.rank == 4 and not value.is_input:
                found = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0)
                largest[value] = np.maximum(largest.get(value, 0), found)
        return float(np.mean([np.log10(a.max() / a[a > 0].min()) for a in largest.values()]))

    ranges: dict = {}
    for value, array in observed(graph, samples):
        found = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0)
        ranges[value] = np.maximum(ranges.get(value, 0), found)
    before = graph.clone()
    equalize(graph, ranges)
    assert difference(before, graph, samples[0]) < 1e-4
    assert spread(graph) < spread(before) / 2


def test_misses_name_the_layer_and_the_reason():
    writer = Writer(0, channels_first=False)
    nn = writer.builder.nn
    y = writer.conv(nn.relu6(writer.conv(writer.input(4, 4, 3), 4)), 4)
    context = PassContext()
    EqualizeCrossLayer().run(writer.builder.outputs(y=y), context)
    reasons = [reason for _, _, reason in context.misses]
    assert reasons == ["nn.relu6 does not let a scale through", "it is an output of the graph"]


def test_hard_swish_networks_are_refused_where_it_stands():
    graph = prepare(expanded(nc.load("mobilenet-v3-small", resolution=32)))
    context = PassContext()
    EqualizeCrossLayer().run(graph, context)
    assert any("nn.hard_swish does not let a scale through" in reason for _, _, reason in context.misses)
    assert any("nn.hard_sigmoid does not let a scale through" in reason for _, _, reason in context.misses)


def test_an_equalised_graph_stays():
    graph = equalized(residual_network())
    once = difference(graph, equalized(graph), random_inputs(graph, 1)[0])
    assert once < 1e-5
    assert channel_structure(graph).groups
