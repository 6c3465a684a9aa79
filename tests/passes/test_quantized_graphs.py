"""What passes on float networks do with quantised integers in between."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, evaluate, verify
from nascompiler.passes import run_pipeline

TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
STEP = {"x_scale": 0.1, "x_zero_point": 3}
RESULT = {"scale": 0.1, "zero_point": 3}
PAIR = {"a_scale": 0.1, "a_zero_point": 3, "b_scale": 0.1, "b_zero_point": 3}


def ops(graph):
    return [node.op.name for node in graph.nodes]


def same(graph, pipeline, x):
    """The graph after the pipeline, whose results are the same to the last bit."""
    made = run_pipeline(graph, pipeline)
    verify(made)
    for name, expected in evaluate(graph, {"x": x}).items():
        np.testing.assert_array_equal(evaluate(made, {"x": x})[name], expected)
    return made


@pytest.fixture
def image():
    return np.random.default_rng(0).standard_normal((1, 5, 6, 4)).astype(np.float32)


# -- fold-constants


def test_quantised_weights_stay_integers():
    build = Builder("net")
    x = build.input("x", (2, 3))
    scale = build.constant(np.asarray([0.1, 0.2], np.float32))
    weight = build.op("qnn.quantize_per_axis", build.constant(np.ones((3, 2), np.float32)), scale, axis=1)
    real = build.op("qnn.dequantize_per_axis", weight, scale, axis=1)
    single = build.op("qnn.dequantize", build.constant(np.ones(2, np.int8)), x_scale=0.5)
    graph = build.outputs(y=build.nn.linear(x, real, single))
    made = same(graph, "fold-constants", np.ones((2, 3), np.float32))
    assert ops(made) == ["qnn.dequantize_per_axis", "qnn.dequantize", "nn.linear"]
    folded = next(iter(made.nodes)).operands[0]
    assert folded.type.dtype is DType.I8
    np.testing.assert_array_equal(folded.array, [[10, 5]] * 3)


# -- canonicalize


@pytest.mark.parametrize("axis", [0, -4, 1, 3])
def test_transposes_move_to_the_integers(axis, image):
    build = Builder("net")
    generator = np.random.default_rng(0)
    weight = generator.integers(-127, 128, (3, 4, 2, 5)).astype(np.int8)
    scale = build.constant(generator.uniform(0.1, 1, weight.shape[axis]).astype(np.float32))
    real = build.op("qnn.dequantize_per_axis", build.constant(weight), scale, axis=axis)
    graph = build.outputs(
        y=build.nn.conv2d(build.input("x", image.shape), build.nn.transpose(real, permutation=(2, 3, 1, 0)))
    )
    made = same(graph, "canonicalize,fold-constants", image)
    assert ops(made) == ["qnn.dequantize_per_axis", "nn.conv2d"]
    assert next(iter(made.nodes)).operands[0].array.shape == (2, 5, 4, 3)


def test_transposes_of_constants_with_one_scale_move_too():
    build = Builder("net")
    weight = build.constant(np.arange(6, dtype=np.int8).reshape(2, 3))
    real = build.nn.transpose(build.op("qnn.dequantize", weight, x_scale=0.5, x_zero_point=1), permutation=(1, 0))
    graph = build.outputs(y=build.nn.linear(build.input("x", (1, 3)), real))
    made = same(graph, "canonicalize,fold-constants", np.ones((1, 3), np.float32))
    assert ops(made) == ["qnn.dequantize", "nn.linear"]


def test_transposes_of_computed_integers_stay():
    build = Builder("net")
    q = build.op("qnn.quantize", build.input("x", (2, 3)), **RESULT)
    y = build.nn.transpose(build.op("qnn.dequantize", q, **STEP), permutation=(1, 0))
    made = same(build.outputs(y=y), "canonicalize", np.ones((2, 3), np.float32))
    assert ops(made) == ["qnn.quantize", "qnn.dequantize", "nn.transpose"]


# -- propagate-layout


BETWEEN = {
    "quantize": lambda b, q: q,
    "requantize": lambda b, q: b.op("qnn.requantize", q, **STEP, **RESULT),
    "add": lambda b, q: b.op("qnn.add", q, q, **PAIR, **RESULT),
    "mul with one number for each channel": lambda b, q: b.op(
        "qnn.mul", q, b.constant(np.arange(4, dtype=np.int8).reshape(4, 1, 1)), **PAIR, **RESULT
    ),
    "table": lambda b, q: b.op("qnn.lookup", q, b.constant(np.arange(256).astype(np.int8)), **STEP, **RESULT),
    "concat": lambda b, q: b.nn.concat(q, q, axis=1),
    "slice": lambda b, q: b.nn.slice(q, axes=(1,), starts=(1,), ends=(3,), steps=(1,)),
    "pad": lambda b, q: b.nn.pad(q, before=(0, 0, 1, 1), after=(0, 0, 1, 1), value=3.0),
    "per axis": lambda b, q: b.op(
        "qnn.quantize_per_axis", b.op("qnn.dequantize", q, **STEP), b.constant(np.full(4, 0.5, np.float32)), axis=1
    ),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_transposes_cancel_across_integers(between, image):
    """As an imported network has them: image ops in NHWC, all else in NCHW."""
    build = Builder("net")
    x = build.nn.transpose(build.nn.relu(build.input("x", image.shape)), permutation=TO_NCHW)
    q = build.op("qnn.quantize", x, **RESULT)
    made = build.nn.transpose(BETWEEN[between](build, q), permutation=TO_NHWC)
    pooled = build.nn.max_pool2d(made, kernel=(2, 2))
    graph = same(build.outputs(y=pooled), "propagate-layout", image)
    assert "nn.transpose" not in ops(graph)


def test_a_table_as_wide_as_an_axis_is_left_as_it_is(image):
    build = Builder("net")
    x = build.nn.transpose(build.input("x", (1, 2, 2, 256)), permutation=TO_NCHW)
    q = build.op("qnn.quantize", x, **RESULT)
    table = build.constant(np.random.default_rng(0).integers(-128, 128, 256).astype(np.int8))
    y = build.nn.transpose(build.op("qnn.lookup", q, table, **STEP, **RESULT), permutation=TO_NHWC)
    given = np.random.default_rng(1).standard_normal((1, 2, 2, 256)).astype(np.float32) * 9
    assert ops(same(build.outputs(y=y), "propagate-layout", given)) == ["qnn.quantize", "qnn.lookup"]
