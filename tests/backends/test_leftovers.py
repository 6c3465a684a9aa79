"""What TVM fuses and compiles, at sizes where it is also scheduled, and at values where processors trap or lose NaN."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.ir import evaluate
from nascompiler.ir.builder import Builder
from nascompiler.ir.types import DType
from tests.backends.replay import assert_close


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Every kind of loop nest, each large enough for threads."""
    generator = np.random.default_rng(0)

    def weight(*shape: int):
        return builder.constant(generator.standard_normal(shape).astype(np.float32))

    builder = Builder("large")
    nn = builder.nn
    x = builder.input("x", (1, 40, 44, 24))
    a = builder.input("a", (2, 3, 40, 64))
    b = builder.input("b", (2, 3, 64, 40))
    flat = builder.input("flat", (50000,))
    outputs = {
        "transposed": nn.conv2d_transpose(x, weight(2, 2, 24, 12), weight(12), strides=(2, 2)),
        "narrow": nn.conv2d_transpose(x, weight(3, 3, 24, 1), strides=(2, 1), padding=(1, 1, 1, 1), activation="relu"),
        "product": nn.matmul(a, b),
        "softmax": nn.softmax(a),
        "across": nn.softmax(x, axis=1),
        "norm": nn.layer_norm(nn.add(x, weight(24)), weight(24), weight(24)),
        "instance": nn.instance_norm(x, weight(24), weight(24)),
        "mean": nn.reduce_mean(x, axes=(1,), keepdims=False),
        "total": nn.reduce_sum(flat, axes=(0,)),
        "highest": nn.argmax(x, axis=3),
        "chain": nn.mul(nn.sigmoid(nn.add(x, weight(24))), nn.tanh(x)),
        "concat": nn.concat(nn.relu(x), nn.resize(x, size=(40, 44)), axis=3),
        "resized": nn.resize(x, size=(80, 88), mode="linear"),
        "padded": nn.pad(x, before=(0, 3, 3, 0), after=(0, 3, 3, 0), mode="reflect"),
        "computed": nn.conv2d(x, nn.exp(weight(3, 3, 24, 20)), padding=(1, 1, 1, 1)),
    }
    graph = builder.outputs(**outputs)
    folder = compile_graph(graph, "cpu", tmp_path_factory.mktemp("large") / "out").folder
    inputs = {v.name: generator.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs}
    return folder, inputs, evaluate(graph, inputs)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_nests_compute_what_the_reference_does(large, threads):
    folder, inputs, expected = large
    results = load_artifact(folder, threads=threads).run(inputs)
    for name, array in expected.items():
        assert_close(results[name], array, name)


def test_integers_divide_as_numpy_does_where_x86_traps(tmp_path):
    builder = Builder("division")
    a, b = (builder.input(name, (4,), DType.I32) for name in "ab")
    nn = builder.nn
    graph = builder.outputs(quotient=nn.div(a, b), floor=nn.mod(a, b), trunc=nn.mod(a, b, fmod=True))
    lowest = np.iinfo(np.int32).min
    inputs = {"a": np.asarray([7, lowest, -7, 0], np.int32), "b": np.asarray([0, -1, 2, -3], np.int32)}
    results = load_artifact(compile_graph(graph, "cpu", tmp_path / "out").folder).run(inputs)
    expected = evaluate(graph, inputs)
    for name in ("floor", "trunc"):
        np.testing.assert_array_equal(results[name], expected[name])
    np.testing.assert_array_equal(results["quotient"][1:], [lowest, -3, 0])


def test_nan_and_infinity_go_through_kernels_and_leftovers(tmp_path):
    weight = np.eye(4, dtype=np.float32)
    builder = Builder("nan")
    x = builder.input("x", (5, 4))
    nn = builder.nn
    names = ("relu", "relu6", "hard_swish", "hard_sigmoid", "sigmoid", "tanh")
    outputs = {name: getattr(nn, name)(nn.linear(x, builder.constant(weight))) for name in names}
    outputs |= {f"plain_{name}": getattr(nn, name)(x) for name in names}
    graph = builder.outputs(**outputs, largest=nn.maximum(x, nn.neg(x)), exp=nn.exp(x))
    rows = [[np.nan] * 4, [1e4, -1e4, 88.0, -88.0], [0, -0.0, 1, -1], [3, 6, 7, -3], [1e-30, 100, -100, 20]]
    inputs = {"x": np.asarray(rows, np.float32)}
    results = load_artifact(compile_graph(graph, "cpu", tmp_path / "out").folder).run(inputs)
    for name, array in evaluate(graph, inputs).items():
        assert_close(results[name], array, name)


def test_long_sums_keep_their_digits(tmp_path):
    generator = np.random.default_rng(0)
    builder = Builder("long")
    x = builder.input("x", (2, 9000))
    image = builder.input("image", (1, 96, 96, 17))
    nn = builder.nn
    weight = builder.constant(np.eye(17, dtype=np.float32).reshape(1, 1, 17, 17))
    pooled = nn.global_average_pool(nn.conv2d(image, weight))
    graph = builder.outputs(softmax=nn.softmax(x), total=nn.reduce_sum(x, axes=(1,)), pooled=pooled)
    inputs = {
        "x": generator.uniform(0, 9, (2, 9000)).astype(np.float32),
        "image": generator.uniform(0, 1, (1, 96, 96, 17)).astype(np.float32),
    }
    results = load_artifact(compile_graph(graph, "cpu", tmp_path / "out").folder).run(inputs)
    for name, array in evaluate(graph, inputs).items():
        assert_close(results[name], array, name, tolerance=1e-6)
