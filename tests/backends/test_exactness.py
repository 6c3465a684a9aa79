"""Exactness follows each value from the inputs to the outputs."""

from __future__ import annotations

import numpy as np

from nascompiler.backends.exactness import Exactness, exactness
from nascompiler.ir import Builder, DType

STEP = {"scale": 0.1, "zero_point": 3}


def test_each_output_has_the_class_of_what_it_is_made_of():
    build = Builder("net")
    x = build.input("x", (1, 4, 4, 8))
    q = build.op("qnn.quantize", x, **STEP)
    weight = build.constant(np.ones((1, 1, 8, 8), np.int8))
    scale = build.constant(np.ones(1, np.float32))
    y = build.op("qnn.conv2d", q, weight, scale, x_scale=0.1, x_zero_point=3, dtype=DType.F32)
    pooled = build.nn.max_pool2d(build.nn.relu(y), kernel=(2, 2))
    mean = build.nn.global_average_pool(y)
    again = build.op("qnn.quantize", mean, **STEP)
    graph = build.outputs(
        integers=q,
        pooled=pooled,
        mean=mean,
        again=again,
        later=build.op("qnn.dequantize", again, x_scale=0.1, x_zero_point=3),
        copied=build.nn.resize(build.nn.transpose(q, permutation=(0, 3, 1, 2)), size=(9, 9)),
        x=x,
    )
    classes = exactness(graph)
    assert {n: classes[v].name for n, v in zip(graph.output_names, graph.outputs, strict=True)} == {
        "integers": "EXACT",
        "pooled": "EXACT",
        "mean": "FLOAT",
        "again": "ROUNDED",
        "later": "ROUNDED",
        "copied": "EXACT",
        "x": "EXACT",
    }


def test_float_layers_are_float():
    build = Builder("net")
    x = build.input("x", (2, 4))
    graph = build.outputs(y=build.nn.linear(x, build.constant(np.ones((4, 3), np.float32))), sum=build.nn.add(x, x))
    assert {exactness(graph)[v] for v in graph.outputs} == {Exactness.FLOAT}
