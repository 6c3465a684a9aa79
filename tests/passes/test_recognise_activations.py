"""Activations written out by exporters become whole ops in every form known; what is none stays, with a reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nascompiler.data import models
from nascompiler.ir import Builder, Graph
from nascompiler.onnx import import_onnx
from nascompiler.passes import PassContext, PassManager, run_pipeline
from nascompiler.passes.infrastructure.instruments import NumericCheck, Verify
from nascompiler.passes.recognise_activations import RecogniseActivations
from tests.passes.networks import HARD_SIGMOIDS, HARD_SWISHES, SWISHES, Writer, random_network, scalar

PASS = "recognise-activations"
CLEAN = f"propagate-layout,fixpoint(canonicalize,fold-batch-norm,{PASS}),fuse-activations"


def recognised(graph: Graph, pipeline: str = PASS, *, images: int = 2) -> Graph:
    numeric = NumericCheck(images=images)
    manager = PassManager([Verify(), numeric])
    result = manager.run(graph, pipeline)
    assert not numeric.skipped
    assert manager.run(result, pipeline) is result, "not idempotent"
    return result


def ops(graph: Graph) -> Counter[str]:
    return Counter(n.op.name.removeprefix("nn.") for n in graph.nodes)


def reasons(graph: Graph) -> list[str]:
    context, before = PassContext(), str(graph)
    RecogniseActivations().run(graph, context)
    assert str(graph) == before
    return [reason for _, _, reason in context.misses]


def of_input(form) -> Graph:
    builder = Builder()
    return builder.outputs(y=form(builder, builder.input("x", (2, 3))))


@pytest.mark.parametrize("name", HARD_SIGMOIDS)
def test_hard_sigmoid(name):
    result = recognised(of_input(HARD_SIGMOIDS[name]))
    assert ops(result) == {"hard_sigmoid": 1}
    assert next(result.nodes).attributes == {"alpha": 1 / 6, "beta": 0.5}


@pytest.mark.parametrize("name", HARD_SWISHES)
def test_hard_swish(name):
    assert ops(recognised(of_input(HARD_SWISHES[name]))) == {"hard_swish": 1}


@pytest.mark.parametrize("name", HARD_SWISHES)
def test_hard_swish_of_a_shifted_value(name):
    """The operand is itself a sum with a number, which belongs to it and not to the activation."""
    graph = of_input(lambda b, x: HARD_SWISHES[name](b, b.nn.add(b.nn.mul(x, scalar(b, 2)), scalar(b, 1))))
    assert ops(recognised(graph)) == {"mul": 1, "add": 1, "hard_swish": 1}


@pytest.mark.parametrize("name", SWISHES)
def test_swish(name):
    assert ops(recognised(of_input(SWISHES[name]))) == {"swish": 1}


@pytest.mark.parametrize("slope, offset", [(0.2, 0.5), (1.0, 3.0), (-0.25, 0.75)])
def test_hard_sigmoid_of_any_slope_and_offset(slope, offset):
    graph = of_input(lambda b, x: b.nn.clip(b.nn.add(b.nn.mul(x, scalar(b, slope)), scalar(b, offset)), min=0, max=1))
    (node,) = recognised(graph).nodes
    assert node.op.name == "nn.hard_sigmoid"
    assert node["alpha"] == pytest.approx(slope)
    assert node["beta"] == pytest.approx(offset)


NOT_WHOLE = {
    "a clip by itself": lambda b, x: b.nn.clip(x, min=0, max=1),
    "limits that do not begin at 0": lambda b, x: b.nn.clip(b.nn.add(x, scalar(b, 3)), min=1, max=6),
    "numbers for each channel": lambda b, x: b.nn.clip(b.nn.mul(x, b.constant(np.float32([1, 2, 3]))), min=0, max=1),
    "relu6 of x + 3": lambda b, x: b.nn.relu6(b.nn.add(x, scalar(b, 3))),
    "only arithmetic": lambda b, x: b.nn.div(b.nn.add(b.nn.mul(x, x), scalar(b, 3)), scalar(b, 6)),
    "hard_sigmoid of another value": lambda b, x: b.nn.mul(b.nn.relu(x), b.nn.hard_sigmoid(x)),
    "limits per element": lambda b, x: b.nn.minimum(b.nn.maximum(x, b.constant(np.float32([1, 2, 3]))), x),
    "x * x / 6": lambda b, x: b.nn.div(b.nn.mul(x, x), scalar(b, 6)),
    "a product of three": lambda b, x: b.nn.mul(b.nn.mul(x, b.nn.tanh(x)), b.nn.hard_sigmoid(x)),
}


@pytest.mark.parametrize("name", NOT_WHOLE)
def test_what_only_looks_alike_stays(name):
    assert reasons(of_input(NOT_WHOLE[name])) == []


NEAR = {
    "its slope is 0.2, its offset 0.5; hard_swish has 1/6 and 1/2": lambda b, x: b.nn.mul(
        x, b.nn.hard_sigmoid(x, alpha=0.2, beta=0.5)
    ),
    "it is 6 times x * nn.hard_sigmoid(x)": lambda b, x: b.nn.mul(x, b.nn.relu6(b.nn.add(x, scalar(b, 3)))),
    "it is 2 times x * nn.sigmoid(x)": lambda b, x: b.nn.mul(b.nn.mul(x, b.nn.sigmoid(x)), scalar(b, 2)),
}


@pytest.mark.parametrize("reason", NEAR)
def test_near_misses_say_why(reason):
    if "2 times" in reason:
        assert ops(recognised(of_input(NEAR[reason]))) == {"swish": 1, "mul": 1}
    else:
        assert reasons(of_input(NEAR[reason])) == [reason]


def test_shared_intermediate_results_say_so():
    builder = Builder()
    x = builder.input("x", (2, 3))
    gate = builder.nn.relu6(builder.nn.add(x, scalar(builder, 3)))
    y = builder.nn.div(builder.nn.mul(x, gate), scalar(builder, 6))
    assert reasons(builder.outputs(y=y, z=gate)) == ["an intermediate result has other users"]


# -- squeeze_excite


@pytest.mark.parametrize("form", ["conv", "flatten", "reshape"])
@pytest.mark.parametrize("gate", ["hard_sigmoid", "sigmoid", "written out"])
@pytest.mark.parametrize("channels_first", [False, True])
def test_squeeze_excite(form, gate, channels_first):
    for seed in range(2):
        writer = Writer(seed, channels_first=channels_first)
        x = writer.conv(writer.input(4, 5, 6), 8)
        excited = writer.conv(writer.squeeze_excite(x, form=form, gate=gate), 4)
        graph = writer.builder.outputs(y=excited)
        result = recognised(graph, f"propagate-layout,{PASS}")
        counted = ops(result)
        del counted["transpose"]
        assert counted == {"conv2d": 2, "squeeze_excite": 1}
        (whole,) = (n for n in result.nodes if n.op.name == "nn.squeeze_excite")
        assert whole["gate"] == ("sigmoid" if gate == "sigmoid" else "hard_sigmoid")
        assert whole["alpha"] == (0.2 if gate == "hard_sigmoid" else 1 / 6)
        assert [v.type.static_shape for v in whole.operands[1:]] == [(8, 4), (4,), (4, 8), (8,)]


def test_squeeze_excite_with_fused_activations():
    writer = Writer(0, channels_first=False)
    x = writer.conv(writer.input(4, 5, 6), 8)
    excited = writer.squeeze_excite(x, gate="sigmoid")
    assert ops(recognised(writer.builder.outputs(y=excited), f"fuse-activations,{PASS}"))["squeeze_excite"] == 1


def squeeze(change) -> Graph:
    """Squeeze and excitation with one thing changed."""
    writer = Writer(0, channels_first=False)
    nn, b = writer.builder.nn, writer.builder
    x = nn.relu(writer.input(4, 5, 6))
    parts = {"pooled": nn.global_average_pool, "kernel": 1, "act": nn.relu, "gated": x, "also": None, **change(b, x)}
    pooled = parts["pooled"](x)
    hidden = parts["act"](writer.conv(pooled, 4, parts["kernel"]))
    excited = nn.sigmoid(writer.conv(hidden, 6))
    outputs = {"y": nn.mul(parts["gated"], excited)}
    if parts["also"] == "hidden":
        outputs["z"] = hidden
    return b.outputs(**outputs)


SQUEEZE_MISSES = {
    "nn.global_max_pool, not a pooling": lambda b, x: {"pooled": b.nn.global_max_pool},
    "is not 1x1, ungrouped": lambda b, x: {"kernel": 3},
    "stands nn.tanh, not a fully connected layer": lambda b, x: {"act": b.nn.tanh},
    "it pools": lambda b, x: {"gated": b.nn.neg(x)},
    "has other users": lambda b, x: {"also": "hidden"},
}


@pytest.mark.parametrize("reason", SQUEEZE_MISSES)
def test_squeeze_excite_misses_say_why(reason):
    assert [r for r in reasons(squeeze(SQUEEZE_MISSES[reason])) if reason in r]
    assert ops(recognised(squeeze(lambda b, x: {})))["squeeze_excite"] == 1


# -- layer_norm


@pytest.mark.parametrize("square", ["pow", "mul", "own difference"])
@pytest.mark.parametrize("axes", [(2,), (1, 2)])
def test_layer_norm(square, axes):
    builder = Builder()
    nn = builder.nn
    x = builder.input("x", (2, 3, 4))
    difference = nn.sub(x, nn.reduce_mean(x, axes=axes))
    other = nn.sub(x, nn.reduce_mean(x, axes=axes)) if square == "own difference" else difference
    squared = nn.mul(other, other) if square == "mul" else nn.pow(other, scalar(builder, 2))
    variance = nn.add(nn.reduce_mean(squared, axes=axes), scalar(builder, 1e-3))
    normalised = nn.div(difference, nn.sqrt(variance))
    shape = x.type.static_shape[axes[0] :]
    scale, bias = (builder.constant(np.full(shape, n, np.float32)) for n in (2, 3))
    (whole,) = recognised(builder.outputs(y=nn.add(nn.mul(normalised, scale), bias))).nodes
    assert whole.op.name == "nn.layer_norm"
    assert (whole["axis"], len(whole.operands)) == (-len(axes), 3)
    assert whole["epsilon"] == pytest.approx(1e-3)


def test_layer_norm_over_other_axes_says_why():
    builder = Builder()
    nn = builder.nn
    x = builder.input("x", (2, 3, 4))
    difference = nn.sub(x, nn.reduce_mean(x, axes=(1,)))
    variance = nn.reduce_mean(nn.mul(difference, difference), axes=(1,))
    y = nn.div(difference, nn.sqrt(nn.add(variance, scalar(builder, 1e-5))))
    assert reasons(builder.outputs(y=y)) == [
        "it normalises the axes [1], not the last ones: run propagate-layout first"
    ]


# -- networks


@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed):
    graph = random_network(seed, channels_first=bool(seed % 2))
    result = recognised(graph, CLEAN, images=1)
    assert not {"exp", "clip", "hard_sigmoid", "batch_norm"} & ops(result).keys()


@pytest.mark.parametrize(
    "model, shape, expected",
    [
        ("direction", (1, 3, 48, 96), {"hard_swish": 18, "squeeze_excite": 9}),
        ("detection", (1, 3, 64, 64), {"hard_swish": 24, "squeeze_excite": 10}),
        ("recognition", (1, 3, 48, 32), {"hard_swish": 28, "squeeze_excite": 2, "swish": 7, "layer_norm": 5}),
    ],
)
def test_everything_written_out_in_the_ocr_models_is_found(model, shape, expected):
    graph = import_onnx(models.ocr_model(model), shapes={"x": shape})
    result = recognised(graph, f"propagate-layout,fixpoint(fold-batch-norm,{PASS})", images=1)
    counted = ops(result)
    assert {name: counted[name] for name in expected} == expected
    assert not {"clip", "hard_sigmoid", "sqrt", "pow"} & counted.keys()
    assert counted["sigmoid"] == (1 if model == "detection" else 0)
    assert counted["global_average_pool"] <= 1


def test_the_optimised_direction_classifier(golden):
    graph = import_onnx(models.ocr_model("direction"), shapes={"x": (1, 3, 48, 192)})
    golden("ocr_direction_optimised.txt", "".join(f"{line}\n" for line in summary(run_pipeline(graph, CLEAN))))


def summary(graph: Graph) -> list[str]:
    """The nodes with their attributes and types, without names and weights: what a rounding cannot change."""
    return [f"{n.op.name} {dict(sorted(n.attributes.items()))} {n.results[0].type}" for n in graph.nodes]
