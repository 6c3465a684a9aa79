"""Which channels share a scale, and which keep theirs."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, Graph
from nascompiler.passes.equalization.classes import ScaleClass, scale_classes


class Network:
    """Pointwise convolutions between whatever a test puts there."""

    def __init__(self, channels: int = 4) -> None:
        self.random = np.random.default_rng(0)
        self.builder = Builder()
        self.nn = self.builder.nn
        self.x = self.builder.input("x", (1, 6, 6, channels))

    def conv(self, x, features=4, groups=1, **options):
        shape = (1, 1, x.type.static_shape[3] // groups, features)
        weight = self.builder.constant(self.random.standard_normal(shape).astype(np.float32))
        return self.nn.conv2d(x, weight, groups=groups, **options)

    def graph(self, y) -> Graph:
        return self.builder.outputs(y=y)


def between(build, **options) -> ScaleClass:
    """The class behind the first convolution of a network conv -> build -> conv."""
    network = Network()
    first = network.conv(network.x, **options)
    found = scale_classes(network.graph(network.conv(build(network, first))))
    return found.classes[found.index[first, found.structure.segments(first)[0].group]]


THROUGH = {
    "relu": lambda n, x: n.nn.relu(x),
    "leaky_relu": lambda n, x: n.nn.leaky_relu(x, alpha=0.2),
    "dropout": lambda n, x: n.nn.dropout(x),
    "max_pool": lambda n, x: n.nn.max_pool2d(x, kernel=(2, 2), strides=(2, 2)),
    "average_pool": lambda n, x: n.nn.average_pool2d(x, kernel=(3, 3), padding=(1, 1, 1, 1)),
    "global": lambda n, x: n.nn.global_average_pool(x),
    "resize": lambda n, x: n.nn.resize(x, size=(12, 12), mode="nearest"),
    "pad": lambda n, x: n.nn.pad(x, before=(0, 1, 1, 0), after=(0, 0, 0, 0)),
    "constant factor": lambda n, x: n.nn.mul(x, n.builder.constant(np.array([1, 2, 3, 4], np.float32))),
    "slice": lambda n, x: n.nn.slice(x, axes=(1,), starts=(0,), ends=(3,), steps=(1,)),
    "residual": lambda n, x: n.nn.add(n.nn.relu(x), x),
    "concat": lambda n, x: n.nn.concat(n.nn.relu(x), x, axis=3),
    "maximum": lambda n, x: n.nn.maximum(x, n.nn.neg(x)),
    "reshape": lambda n, x: n.nn.reshape(n.nn.reshape(x, shape=(1, 36, 4)), shape=(1, 6, 6, 4)),
}


@pytest.mark.parametrize("name", THROUGH)
def test_a_scale_passes_through(name):
    found = between(THROUGH[name])
    assert found.fixed == []
    assert len(found.makers) == len(found.takers) == 1


STOPS = {
    "relu6": (lambda n, x: n.nn.relu6(x), "nn.relu6 does not let a scale through"),
    "hard_swish": (lambda n, x: n.nn.hard_swish(x), "nn.hard_swish does not let a scale through"),
    "sigmoid": (lambda n, x: n.nn.sigmoid(x), "nn.sigmoid does not let a scale through"),
    "softmax": (lambda n, x: n.nn.softmax(x), "nn.softmax does not let a scale through"),
    "swish": (lambda n, x: n.nn.mul(x, n.nn.sigmoid(x)), "nn.sigmoid does not let a scale through"),
    "square": (lambda n, x: n.nn.mul(x, x), "nn.mul of two tensors squares a scale"),
    "product": (lambda n, x: n.nn.mul(x, n.nn.relu(x)), "nn.mul of two tensors squares a scale"),
    "own mean as gate": (lambda n, x: n.nn.mul(x, n.nn.global_average_pool(x)), "it is a factor in nn.mul"),
    "shift": (lambda n, x: n.nn.add(x, n.builder.constant(np.float32(1))), "nn.add takes a constant"),
    "pad": (lambda n, x: n.nn.pad(x, before=(0, 1, 1, 0), after=(0, 0, 0, 0), value=1), "nn.pad pads with 1"),
    "input": (lambda n, x: n.nn.add(x, n.x), "it is an input of the graph"),
    "channel mean": (
        lambda n, x: n.nn.add(x, n.nn.reduce_mean(x, axes=(3,))),
        "nn.reduce_mean mixes channels",
    ),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_scale_is_stopped(name):
    build, reason = STOPS[name]
    assert reason in between(build).fixed


def test_a_fused_relu_is_as_good_as_one_behind():
    assert between(lambda n, x: x, activation="relu").fixed == []
    assert "hard_swish is fused to it" in between(lambda n, x: x, activation="hard_swish").fixed[0]


def test_an_output_keeps_its_scale():
    network = Network()
    y = network.conv(network.x)
    found = scale_classes(network.builder.outputs(y=y, z=network.conv(y)))
    assert all("it is an output of the graph" in c.fixed for c in found.classes if c.makers)


def test_a_depthwise_convolution_has_a_scale_on_either_side():
    network = Network()
    a = network.conv(network.x)
    b = network.conv(network.nn.relu(a), groups=4)
    found = scale_classes(network.graph(network.conv(network.nn.relu(b))))
    (left,) = [c for c in found.classes if a in c.values]
    (right,) = [c for c in found.classes if b in c.values]
    assert left is not right
    assert (left.fixed, right.fixed) == ([], [])
    assert left.takers == right.makers == [b.producer]


def test_a_squeeze_excite_lets_the_scale_pass_beside_its_gate():
    network = Network()
    x = network.nn.relu(network.conv(network.x))
    squeeze = network.conv(network.nn.global_average_pool(x), 2)
    excite = network.conv(network.nn.relu(squeeze))
    y = network.nn.mul(x, network.nn.hard_sigmoid(excite))
    found = scale_classes(network.graph(network.conv(y)))
    (beside,) = [c for c in found.classes if x in c.values]
    assert y in beside.values
    assert beside.fixed == []
    assert [n.result for n in beside.takers] == [squeeze, next(v for v in found.structure.graph.outputs)]
    (inside,) = [c for c in found.classes if squeeze in c.values]
    assert inside.fixed == []
    (gate,) = [c for c in found.classes if excite in c.values]
    assert gate.fixed


def test_residual_additions_join_all_that_is_added():
    network = Network()
    first = network.conv(network.x)
    second = network.conv(network.nn.relu(network.conv(first)))
    total = network.nn.add(first, second)
    found = scale_classes(network.graph(network.conv(total)))
    (joined,) = [c for c in found.classes if total in c.values]
    assert [n.result for n in joined.makers] == [first, second]
    assert len(joined.takers) == 2


def test_parts_of_a_concat_have_scales_of_their_own_until_they_are_added():
    network = Network()
    parts = [network.conv(network.x, 3), network.conv(network.x, 5)]
    whole = network.nn.concat(*parts, axis=3)
    found = scale_classes(network.graph(network.conv(whole)))
    assert [found.classes[i].length for i, _, _ in found.segments(whole)] == [3, 5]
    scales = [np.full(c.length, float(i)) for i, c in enumerate(found.classes)]
    along = found.along(whole, scales)
    assert len(set(along[:3])) == len(set(along[3:])) == 1
    assert along[0] != along[3]


def test_flattened_channels_repeat_their_scale():
    network = Network()
    flat = network.nn.flatten(network.nn.relu(network.conv(network.x, 2)))
    weight = network.builder.constant(np.ones((72, 3), np.float32))
    found = scale_classes(network.graph(network.nn.linear(flat, weight)))
    (index,) = {i for i, _, _ in found.segments(flat)}
    assert found.classes[index].fixed == []
    scales = [np.arange(c.length, dtype=float) for c in found.classes]
    np.testing.assert_array_equal(found.along(flat, scales), np.tile([0, 1], 36))
    numbers = np.arange(72.0)
    largest = np.zeros(2)
    for _, part in found.gathered(flat, numbers):
        largest = np.maximum(largest, part)
    np.testing.assert_array_equal(largest, [70, 71])


def test_computed_and_shared_weights_stop_a_scale():
    network = Network()
    weight = network.builder.constant(np.ones((1, 1, 4, 4), np.float32))
    one = network.nn.conv2d(network.x, weight)
    two = network.nn.conv2d(one, weight)
    found = scale_classes(network.graph(two))
    assert any("it shares its weights" in reason for c in found.classes if one in c.values for reason in c.fixed)

    network = Network()
    a = network.conv(network.x)
    computed = network.nn.reshape(network.nn.reduce_mean(a, axes=(1, 2)), shape=(1, 1, 4, 1))
    found = scale_classes(network.graph(network.nn.conv2d(a, computed)))
    assert any("are no constants" in reason for c in found.classes if a in c.values for reason in c.fixed)
