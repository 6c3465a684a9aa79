"""Channels of quantised networks: scales and biases go with the channels they belong to, and integers stay the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, Graph, Value, evaluate, verify
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import Role, channel_structure

STEP = {"x_scale": 0.05, "x_zero_point": 3}
RESULT = {"scale": 0.05, "zero_point": 3}


class Network:
    """A builder of layers whose weights are drawn from a seed; every activation has the same scale."""

    def __init__(self) -> None:
        self.build = Builder("network")
        self.generator = np.random.default_rng(0)

    def constant(self, *shape: int, dtype: Any = np.int8) -> Value:
        low, high = (-127, 128) if dtype == np.int8 else (-500, 500)
        return self.build.constant(self.generator.integers(low, high, shape).astype(dtype))

    def scales(self, size: int) -> Value:
        return self.build.constant(self.generator.uniform(0.001, 0.004, size).astype(np.float32))

    def layer(self, op: str, x: Value, *shape: int, single: bool = False, **attributes: Any) -> Value:
        features = shape[-1] * (attributes.get("groups", 1) if op == "conv2d_transpose" else 1)
        scale = self.scales(1 if single else features)
        operands = (x, self.constant(*shape), scale, self.constant(features, dtype=np.int32))
        value: Value = self.build.op(f"qnn.{op}", *operands, **{**STEP, **RESULT, **attributes})
        return value

    def input(self, *shape: int) -> Value:
        value: Value = self.build.op("qnn.quantize", self.build.input("x", shape), **RESULT)
        return value

    def finished(self, x: Value) -> Graph:
        flat = self.build.nn.flatten(x)
        logits = self.layer(
            "linear", flat, int(flat.type.static_shape[-1]), 3, dtype=DType.F32, scale=1.0, zero_point=0
        )
        graph = self.build.outputs(logits=logits)
        verify(graph)
        return graph


def _pair(prefix_a: str = "a", prefix_b: str = "b") -> dict[str, Any]:
    return {f"{p}_{name}": value for p in (prefix_a, prefix_b) for name, value in RESULT.items()}


def _gate(net: Network, x: Value) -> Value:
    pooled = net.build.op("qnn.global_average_pool", x, **STEP, **RESULT)
    gate = net.layer("linear", pooled, 8, 8, activation="hard_sigmoid")
    value: Value = net.build.op("qnn.mul", x, gate, **_pair(), **RESULT)
    return value


def _residual(net: Network, x: Value) -> Value:
    value: Value = net.build.op("qnn.add", x, net.layer("conv2d", x, 1, 1, 8, 8), **_pair(), **RESULT)
    return value


def _table(net: Network, x: Value) -> Value:
    value: Value = net.build.op("qnn.lookup", x, net.constant(256), **STEP, **RESULT)
    return value


BETWEEN = {
    "nothing": lambda net, x: x,
    "depthwise": lambda net, x: net.layer("conv2d", x, 3, 3, 1, 8, groups=8, padding=(1, 1, 1, 1)),
    "depthwise, one scale": lambda net, x: net.layer("conv2d", x, 3, 3, 1, 8, groups=8, single=True),
    "two groups": lambda net, x: net.layer("conv2d", x, 1, 1, 4, 6, groups=2),
    "transposed": lambda net, x: net.layer("conv2d_transpose", x, 2, 2, 8, 5, strides=(2, 2)),
    "residual": _residual,
    "gate": _gate,
    "table": _table,
    "average": lambda net, x: net.build.op("qnn.average_pool2d", x, **STEP, **RESULT, kernel=(2, 2)),
    "maximum": lambda net, x: net.build.nn.max_pool2d(x, kernel=(2, 2)),
    "resize": lambda net, x: net.build.op("qnn.resize", x, **STEP, **RESULT, size=(7, 7), mode="linear"),
    "requantize": lambda net, x: net.build.op("qnn.requantize", x, **STEP, **RESULT),
    "float and back": lambda net, x: net.build.op("qnn.quantize", net.build.op("qnn.dequantize", x, **STEP), **RESULT),
    "concat": lambda net, x: net.build.nn.concat(x, net.layer("conv2d", x, 1, 1, 8, 4), axis=-1),
}


def _built(between: str) -> tuple[Graph, Value]:
    net = Network()
    made = net.layer("conv2d", net.input(1, 5, 5, 3), 3, 3, 3, 8, padding=(1, 1, 1, 1), activation="relu")
    return net.finished(BETWEEN[between](net, made)), made


@pytest.mark.parametrize("between", BETWEEN)
def test_scales_and_biases_go_with_their_channels(between):
    graph, made = _built(between)
    structure = channel_structure(graph)
    groups = structure.groups_of(made)
    assert groups
    assert all(not group.frozen for group in groups)
    kept = {group.index: list(range(0, group.length, 2)) for group in groups}
    smaller = without_channels(structure, kept)
    verify(smaller)
    first = next(node for node in smaller.nodes if node.op.name == "qnn.conv2d")
    left = sum(len(kept[segment.group]) * segment.repeat for segment in structure.segments(made))
    assert [v.type.shape for v in first.operands[1:]] == [(3, 3, 3, left), (left,), (left,)]
    roles = {use.operand for group in groups for use in group.constants if use.role is Role.OUTPUT}
    assert {"weight", "weight_scale", "bias"} <= roles


def test_what_is_left_computes_the_same_integers():
    """Removed channels whose consumers have zero weights for them were not there."""
    net = Network()
    made = net.layer("conv2d", net.input(1, 5, 5, 3), 3, 3, 3, 8, padding=(1, 1, 1, 1), activation="relu")
    deep = net.layer("conv2d", made, 3, 3, 1, 8, groups=8, padding=(1, 1, 1, 1))
    graph = net.finished(net.layer("conv2d", deep, 1, 1, 8, 6))
    *_, project, _, _ = list(graph.nodes)
    assert project.op.name == "qnn.conv2d"
    weight = np.array(project.operands[1].array)
    weight[:, :, [1, 4, 6]] = 0
    graph.set_operand(project, 1, graph.constant(weight))
    structure = channel_structure(graph)
    (group,) = structure.groups_of(made)
    smaller = without_channels(structure, {group.index: [0, 2, 3, 5, 7]})
    inputs = {"x": np.random.default_rng(1).standard_normal((1, 5, 5, 3)).astype(np.float32)}
    np.testing.assert_array_equal(evaluate(smaller, inputs)["logits"], evaluate(graph, inputs)["logits"])


def test_fake_quantised_weights_are_followed_to_their_constants():
    net = Network()
    build = net.build
    x = build.op("qnn.dequantize", net.input(1, 4, 4, 3), **STEP)
    scale = net.scales(8)
    weight = build.op("qnn.dequantize_per_axis", net.constant(1, 1, 3, 8), scale, axis=3)
    bias = build.op("qnn.dequantize_per_axis", net.constant(8, dtype=np.int32), scale, axis=0)
    made = build.nn.conv2d(x, weight, bias)
    real = build.constant(np.ones((1, 1, 8, 2), np.float32))
    other = build.op("qnn.quantize_per_axis", real, net.scales(2), axis=3)
    graph = build.outputs(y=build.nn.conv2d(made, build.op("qnn.dequantize_per_axis", other, net.scales(2), axis=3)))
    structure = channel_structure(graph)
    (group,) = structure.groups_of(made)
    assert not group.frozen
    assert {use.value.type.dtype for use in group.constants} == {DType.I8, DType.I32, DType.F32}
    smaller = without_channels(structure, {group.index: [2, 5]})
    verify(smaller)
    assert evaluate(smaller, {"x": np.zeros((1, 4, 4, 3), np.float32)})["y"].shape == (1, 4, 4, 2)


def test_channels_that_are_not_followed_are_frozen_in_integers_too():
    net = Network()
    made = net.layer("conv2d", net.input(1, 4, 4, 3), 1, 1, 3, 8)
    graph = net.build.outputs(y=net.build.nn.gather(made, net.build.constant(np.asarray([1, 0], np.int64)), axis=3))
    assert all(group.frozen for group in channel_structure(graph).groups_of(made))
