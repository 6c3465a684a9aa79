"""Batch norms and per-channel arithmetic disappear into the layers beside them, in every form of these."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nascompiler.data import models
from nascompiler.ir import Builder, Constant, Graph, TensorType
from nascompiler.onnx import import_onnx
from nascompiler.passes import PassContext, PassManager, Pipeline, run_pipeline
from nascompiler.passes.fold_batch_norm import FoldBatchNorm
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify
from tests.passes.networks import HARD_SIGMOIDS, HARD_SWISHES, Writer, random_network

PASS = "fold-batch-norm"


def folded(graph: Graph, pipeline: str = PASS) -> Graph:
    numeric = NumericCheck(images=1)
    manager = PassManager([Verify(), numeric])
    result = manager.run(graph, pipeline)
    assert not numeric.skipped
    assert manager.run(result, pipeline) is result, "not idempotent"
    return result


def ops(graph: Graph) -> Counter[str]:
    return Counter(n.op.name.removeprefix("nn.") for n in graph.nodes)


def reasons(graph: Graph) -> list[str]:
    """Why the pass leaves the graph as it is."""
    context, before = PassContext(), str(graph)
    FoldBatchNorm().run(graph, context)
    assert str(graph) == before
    return [reason for _, _, reason in context.misses]


def layer(writer: Writer, kind: str, x):
    nn = writer.builder.nn
    bias = writer.builder.constant(writer.weights(8)) if "bias" in kind else None
    if kind.startswith("linear"):
        return nn.linear(x, writer.builder.constant(writer.weights(4, 8)), bias)
    if kind.startswith("transposed"):
        groups = 2 if "grouped" in kind else 1
        weight = writer.builder.constant(writer.weights(2, 3, 4, 8 // groups))
        return nn.conv2d_transpose(x, weight, bias, strides=(2, 1), padding=(0, 1, 1, 0), groups=groups)
    groups = {"conv": 1, "grouped": 2, "depthwise": 4}[kind.split()[0]]
    padding = (1, 0, 2, 1) if "padded" in kind else (0, 0, 0, 0)
    weight = writer.builder.constant(writer.weights(3, 2, 4 // groups, 8))
    return nn.conv2d(x, weight, bias, padding=padding, strides=(1, 2), dilation=(1, 2), groups=groups)


LAYERS = [
    "conv",
    "conv padded bias",
    "grouped bias",
    "depthwise padded",
    "transposed",
    "transposed grouped bias",
    "linear",
    "linear bias",
]


@pytest.mark.parametrize("kind", LAYERS)
def test_batch_norm_after_a_layer(kind):
    writer = Writer(1, channels_first=False)
    y = writer.batch_norm(layer(writer, kind, writer.input(6, 7, 4)))
    result = folded(writer.builder.outputs(y=y))
    assert len(result) == 1
    assert len(next(result.nodes).operands) == 3


@pytest.mark.parametrize("kind", [k for k in LAYERS if "padded" not in k and "transposed" not in k])
def test_batch_norm_before_a_layer(kind):
    writer = Writer(2, channels_first=False)
    y = layer(writer, kind, writer.batch_norm(writer.input(6, 7, 4)))
    assert len(folded(writer.builder.outputs(y=y))) == 1


@pytest.mark.parametrize("op", ["mul", "div", "add", "sub"])
@pytest.mark.parametrize("kind", LAYERS)
def test_arithmetic_after_a_layer(kind, op):
    writer = Writer(3, channels_first=False)
    numbers = writer.random.uniform(0.5, 2, 8).astype(np.float32)
    y = writer.builder.op(f"nn.{op}", layer(writer, kind, writer.input(6, 7, 4)), writer.for_channels(numbers))
    assert len(folded(writer.builder.outputs(y=y))) == 1


@pytest.mark.parametrize("op", ["mul", "div", "add", "sub"])
@pytest.mark.parametrize("kind", ["conv", "grouped bias", "depthwise", "linear"])
@pytest.mark.parametrize("size", [1, 4])
def test_arithmetic_before_a_layer(kind, op, size):
    writer = Writer(4, channels_first=False)
    numbers = writer.for_channels(writer.random.uniform(0.5, 2, size).astype(np.float32))
    y = layer(writer, kind, writer.builder.op(f"nn.{op}", writer.input(6, 7, 4), numbers))
    assert len(folded(writer.builder.outputs(y=y))) == 1


def padded_after(before) -> Graph:
    """A padded convolution after something."""
    writer = Writer(5, channels_first=False)
    return writer.builder.outputs(y=layer(writer, "conv padded", before(writer, writer.input(6, 7, 4))))


def test_a_scale_goes_through_zero_padding_but_a_shift_does_not():
    two = np.float32([2])
    scaled = padded_after(lambda w, x: w.builder.nn.mul(x, w.builder.constant(two)))
    assert len(folded(scaled)) == 1
    reason = "the convolution pads with zeros, which would have to be shifted"
    assert reasons(padded_after(lambda w, x: w.builder.nn.add(x, w.builder.constant(two)))) == [reason]
    assert reasons(padded_after(lambda w, x: w.batch_norm(x))) == [reason]


def test_expected(transforms):
    transforms(
        """(%x: f32[1,2,2,2]) {
  constant @w : f32[1,1,2,2] = [1.0, 2.0, 3.0, 4.0]
  constant @scale : f32[2] = [2.0, 6.0]
  constant @bias : f32[2] = [1.0, 0.0]
  constant @mean : f32[2] = [1.0, -1.0]
  constant @variance : f32[2] = [4.0, 9.0]
  constant @c : f32[2] = [0.5, 0.25]
  %a = nn.conv2d(%x, @w) : f32[1,2,2,2]
  %b = nn.batch_norm(%a, @scale, @bias, @mean, @variance) {epsilon=0.0} : f32[1,2,2,2]
  %c = nn.add(%b, @c) : f32[1,2,2,2]
  return c=%c
}""",
        PASS,
        """(%x: f32[1,2,2,2]) {
  constant @w : f32[1,1,2,2] = [1.0, 4.0, 3.0, 8.0]
  constant @b : f32[2] = [0.5, 2.25]
  %a = nn.conv2d(%x, @w, @b) : f32[1,2,2,2]
  return c=%a
}""",
    )


def test_what_is_shared_or_fused_stays():
    writer = Writer(6, channels_first=False)
    y = layer(writer, "conv", writer.input(6, 7, 4))
    graph = writer.builder.outputs(y=writer.batch_norm(y), z=y)
    assert reasons(graph) == [f"{y!r} has other users"]
    writer = Writer(6, channels_first=False)
    weight = writer.builder.constant(writer.weights(1, 1, 4, 8))
    y = writer.builder.nn.conv2d(writer.input(6, 7, 4), weight, activation="relu")
    assert reasons(writer.builder.outputs(y=writer.batch_norm(y))) == []


def ones(writer: Writer, size: int, number: float = 1):
    return writer.builder.constant(np.full(size, number, np.float32))


AFTER = {
    "is not one number for each channel of": lambda w, y: w.builder.nn.mul(y, w.builder.constant(w.weights(4, 1, 1))),
    "it divides by 0": lambda w, y: w.builder.nn.div(y, ones(w, 8, 0)),
    "its factor or shift is not finite": lambda w, y: w.builder.nn.batch_norm(y, *(ones(w, 8, -1) for _ in range(4))),
    "another axis than the channels, the last one: run propagate-layout": lambda w, y: w.builder.nn.batch_norm(
        y, *(ones(w, 4) for _ in range(4)), axis=1
    ),
    "it may be the beginning of a hard_sigmoid: run recognise-activations first": lambda w, y: w.builder.nn.relu6(
        w.builder.nn.add(y, ones(w, 1, 3))
    ),
}


@pytest.mark.parametrize("reason", AFTER)
def test_misses_say_why(reason):
    writer = Writer(7, channels_first=False)
    y = AFTER[reason](writer, layer(writer, "conv", writer.input(6, 7, 4)))
    (given,) = reasons(writer.builder.outputs(y=y))
    assert reason in given


def test_computed_weights_are_a_miss():
    writer = Writer(7, channels_first=False)
    nn, b = writer.builder.nn, writer.builder
    y = nn.conv2d(writer.input(6, 7, 4), b.constant(writer.weights(1, 1, 4, 8)), nn.relu(b.input("bias", (8,))))
    assert reasons(b.outputs(y=writer.batch_norm(y))) == ["the weights or bias of the layer are no constants"]


@pytest.mark.parametrize("name", [*HARD_SWISHES])
def test_written_out_activations_stay_for_their_pass(name):
    writer = Writer(8, channels_first=False)
    x = writer.conv(writer.input(4, 4, 4), 8)
    graph = writer.builder.outputs(y=writer.conv(HARD_SWISHES[name](writer.builder, x), 4))
    result = folded(graph, f"fixpoint({PASS},recognise-activations)")
    assert ops(result) == {"conv2d": 2, "hard_swish": 1}


@pytest.mark.parametrize("name", [*HARD_SIGMOIDS])
def test_written_out_gates_after_a_layer_stay_for_their_pass(name):
    writer = Writer(9, channels_first=False)
    x = writer.conv(writer.input(4, 4, 4), 8)
    graph = writer.builder.outputs(y=HARD_SIGMOIDS[name](writer.builder, x))
    assert ops(folded(graph, f"{PASS},recognise-activations")) == {"conv2d": 1, "hard_sigmoid": 1}


@pytest.mark.parametrize("axis", [-1, 1])
def test_split(axis):
    builder = Builder()
    x = builder.input("x", (2, 5, 3, 5))
    y = builder.nn.batch_norm(x, *(builder.constant(np.full(5, i, np.float32)) for i in (2, 3, 4, 5)), axis=axis)
    graph = builder.outputs(y=y)
    assert folded(graph) is graph
    result = folded(graph, f"{PASS}{{split=true}}")
    assert ops(result) == {"mul": 1, "add": 1}
    assert str(Pipeline.parse(f"{PASS}{{split=true}}")) == f"{PASS}{{split=true}}"


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed):
    graph = random_network(seed, channels_first=False)
    result = folded(graph, f"{PASS}{{split=true}}")
    assert "batch_norm" not in ops(result)


@pytest.mark.parametrize("model, shape, norms", [("direction", (1, 3, 48, 96), 35), ("detection", (1, 3, 64, 64), 3)])
def test_no_batch_norm_of_the_ocr_models_is_left(model, shape, norms):
    graph = import_onnx(models.ocr_model(model), shapes={"x": shape})
    assert ops(graph)["batch_norm"] == norms
    assert "batch_norm" not in ops(folded(graph, f"propagate-layout,{PASS}"))


def concat_network(*kinds: str, axis: int = 3, extra=None):
    """A batch norm behind a concat of layers on one input, as in NASNet's factorised reduction."""
    writer = Writer(2, channels_first=False)
    x = writer.input(6, 7, 4)
    parts = [layer(writer, kind, x) for kind in kinds]
    if extra is not None:
        parts = extra(writer, x, parts)
    return writer, writer.batch_norm(writer.builder.nn.concat(*parts, axis=axis))


@pytest.mark.parametrize("kinds", [("conv", "conv"), ("conv", "grouped bias"), ("depthwise", "conv", "conv")], ids=str)
def test_batch_norm_after_a_concat_of_layers(kinds):
    writer, y = concat_network(*kinds)
    result = folded(writer.builder.outputs(y=y))
    assert ops(result) == {"conv2d": len(kinds), "concat": 1}
    assert all(len(n.operands) == 3 for n in result.nodes if n.op.name == "nn.conv2d")


def test_batch_norm_after_a_concat_that_it_cannot_be_folded_into():
    writer, y = concat_network("conv", "conv", extra=lambda w, x, parts: [parts[0], w.builder.nn.relu(parts[1])])
    assert any("is no layer that it could be folded into" in r for r in reasons(writer.builder.outputs(y=y)))

    writer, y = concat_network("conv", "conv", extra=lambda w, x, parts: [parts[0], parts[0]])
    assert any("has other users" in r for r in reasons(writer.builder.outputs(y=y)))

    writer, y = concat_network("conv", "conv", axis=1)
    assert "the concat is along another axis than the channels" in reasons(writer.builder.outputs(y=y))

    writer, y = concat_network("conv", "conv")
    concat = y.producer.operands[0]
    assert any("has other users" in r for r in reasons(writer.builder.outputs(y=y, z=concat)))


def test_weights_are_not_made_to_be_folded():
    asked = []

    def lazy(shape, number):
        def make():
            asked.append(shape)
            return np.full(shape, number, np.float32)

        return Constant.lazy(TensorType(shape), make)

    builder = Builder()
    x = builder.input("x", (1, 4, 4, 3))
    conv = builder.nn.conv2d(x, builder.constant(lazy((1, 1, 3, 5), 2.0)))
    statistics = [builder.constant(np.full(5, number, np.float32)) for number in (3.0, 1.0, 4.0, 1.0)]
    graph = builder.outputs(y=builder.nn.batch_norm(conv, *statistics, epsilon=0.0))
    result = run_pipeline(graph, f"{PASS},canonicalize,eliminate-common-subexpressions")
    assert asked == []
    (node,) = result.nodes
    assert np.array_equal(node.operands[1].array, np.full((1, 1, 3, 5), 6.0, np.float32))
    assert np.array_equal(node.operands[2].array, np.full(5, 1.0 - 4.0 * 3.0, np.float32))
    assert asked == [(1, 1, 3, 5)]
