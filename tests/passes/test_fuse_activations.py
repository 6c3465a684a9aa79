"""Single-use activations go into the op before them, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, Graph, evaluate, structurally_equal
from nascompiler.ir.dialects.nn.fused import FUSIBLE_ACTIVATIONS
from nascompiler.passes import PassContext, PassManager
from nascompiler.passes.fuse_activations import FuseActivations, detach_activations
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify, random_inputs
from tests.passes.networks import Writer, random_network

PASS = "fuse-activations"


def fused(graph: Graph) -> Graph:
    numeric = NumericCheck(images=2)
    manager = PassManager([Verify(), numeric])
    result = manager.run(graph, PASS)
    assert not numeric.skipped
    assert manager.run(result, PASS) is result, "not idempotent"
    return result


def layer(writer: Writer, op: str):
    nn, b, x = writer.builder.nn, writer.builder, writer.input(4, 5, 6)
    match op:
        case "conv2d":
            return nn.conv2d(x, b.constant(writer.weights(3, 3, 6, 4)), b.constant(writer.weights(4)))
        case "conv2d_transpose":
            return nn.conv2d_transpose(x, b.constant(writer.weights(2, 2, 6, 4)), strides=(2, 2))
        case "linear":
            return nn.linear(x, b.constant(writer.weights(6, 4)))
        case _:
            return nn.add(x, writer.input(4, 5, 6, "z"))


@pytest.mark.parametrize("activation", FUSIBLE_ACTIVATIONS)
@pytest.mark.parametrize("op", ["conv2d", "conv2d_transpose", "linear", "add"])
def test_every_activation_behind_every_op(op, activation):
    writer = Writer(0, channels_first=False)
    y = writer.builder.op(f"nn.{activation}", layer(writer, op))
    (node,) = fused(writer.builder.outputs(y=y)).nodes
    assert (node.op.name, node["activation"]) == (f"nn.{op}", activation)


def test_limits_become_relu_and_relu6(transforms):
    transforms(
        """(%x: f32[2,3], %z: f32[2,3]) {
  constant @zero : f32[] = [0.0]
  %a = nn.add(%x, %z) : f32[2,3]
  %b = nn.clip(%a) {min=0.0, max=6.0} : f32[2,3]
  %c = nn.add(%b, %z) : f32[2,3]
  %d = nn.maximum(%c, @zero) : f32[2,3]
  return d=%d
}""",
        PASS,
        """(%x: f32[2,3], %z: f32[2,3]) {
  %b = nn.add(%x, %z) {activation=relu6} : f32[2,3]
  %d = nn.add(%b, %z) {activation=relu} : f32[2,3]
  return d=%d
}""",
    )


def test_one_activation_each_and_names_stay():
    writer = Writer(0, channels_first=False)
    nn = writer.builder.nn
    y = nn.tanh(nn.relu(layer(writer, "conv2d"), name="first"))
    first, second = fused(writer.builder.outputs(y=y)).nodes
    assert (first["activation"], first.result.name, second.op.name) == ("relu", "first", "nn.tanh")


def test_misses_say_why():
    def reasons(activate) -> list[str]:
        writer = Writer(0, channels_first=False)
        conv = layer(writer, "conv2d")
        graph = writer.builder.outputs(**activate(writer.builder.nn, conv))
        context, before = PassContext(), str(graph)
        FuseActivations().run(graph, context)
        assert str(graph) == before
        return [reason for _, _, reason in context.misses]

    (reason,) = reasons(lambda nn, x: {"y": nn.relu(x), "z": x})
    assert reason.endswith("has other users")
    assert reasons(lambda nn, x: {"y": nn.hard_sigmoid(x, alpha=0.2)}) == [
        "its slope is 0.2, its offset 0.5; only 1/6 and 1/2 can be fused"
    ]


def test_the_slope_may_be_rounded_to_the_element_type():
    writer = Writer(0, channels_first=False)
    y = writer.builder.nn.hard_sigmoid(layer(writer, "conv2d"), alpha=float(np.float32(1 / 6)), beta=0.5)
    (node,) = fused(writer.builder.outputs(y=y)).nodes
    assert node["activation"] == "hard_sigmoid"


def test_rules_of_other_passes_leave_fused_ops_alone():
    builder = Builder()
    nn = builder.nn
    x = builder.input("x", (2, 3))
    shifted = nn.add(x, builder.constant(np.zeros(3, np.float32)), activation="relu")
    weight = builder.constant(np.ones((3, 3), np.float32))
    doubled = nn.mul(nn.linear(shifted, weight, activation="relu"), builder.constant(np.full(3, -1, np.float32)))
    graph = builder.outputs(y=nn.add(doubled, builder.constant(np.ones(3, np.float32))))
    result = PassManager([Verify(), NumericCheck()]).run(
        graph, "fixpoint(canonicalize,fold-batch-norm,recognise-activations,fold-constants)"
    )
    assert len(result) == 4


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_and_back(seed):
    graph = random_network(seed, channels_first=False)
    result = fused(graph)
    detached = result.clone()
    detach_activations(detached)
    inputs = random_inputs(graph, seed)
    for name, expected in evaluate(result, inputs).items():
        assert np.array_equal(expected, evaluate(detached, inputs)[name])
    assert structurally_equal(fused(detached), result)
