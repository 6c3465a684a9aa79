"""The integer structure is what quantising gives, but for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, Graph, verify
from nascompiler.passes import run_pipeline
from nascompiler.passes.quantization.quantizer import quantize_graph
from nascompiler.passes.quantization.structure import integer_structure


def _network() -> Graph:
    b, random = Builder("small"), np.random.default_rng(0)
    x = b.input("x", (1, 8, 8, 3))

    def weight(*shape: int) -> object:
        return b.constant(random.standard_normal(shape).astype(np.float32) * 0.2)

    y = b.nn.conv2d(x, weight(3, 3, 3, 8), weight(8), padding=(1, 1, 1, 1))
    y = b.nn.hard_swish(y)
    z = b.nn.conv2d(y, weight(3, 3, 1, 8), weight(8), padding=(1, 1, 1, 1), groups=8)
    z = b.nn.add(b.nn.relu(z), y)
    gate = b.nn.sigmoid(b.nn.linear(b.nn.global_average_pool(z), weight(8, 8), weight(8)))
    z = b.nn.concat(b.nn.mul(z, gate), y, axis=3)
    pooled = b.nn.flatten(b.nn.max_pool2d(z, kernel=(2, 2), strides=(2, 2)))
    return b.outputs(scores=b.nn.linear(pooled, weight(256, 5), weight(5)), kept=b.nn.tanh(z))


def _kinds(graph: Graph) -> list[tuple[str, str]]:
    skipped = ("qnn.requantize", "qnn.dequantize", "qnn.quantize")
    return sorted((n.op.name, str(n.results[0].type.shape)) for n in graph.nodes if n.op.name not in skipped)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        (DType.I8, {}),
        (DType.I16, {}),
        (DType.I16, {"byte_tables": True}),
        (DType.I8, {"weight_dtype": DType.I16}),
        (DType.I16, {"weight_dtype": DType.I16, "byte_tables": True}),
    ],
)
def test_same_ops_as_quantising(dtype: DType, options: dict[str, Any]) -> None:
    network = run_pipeline(_network(), "canonicalize")
    made = integer_structure(network, dtype, **options)
    verify(made)
    samples = [{"x": np.random.default_rng(1).standard_normal((1, 8, 8, 3)).astype(np.float32)}]
    from nascompiler.passes.quantization.quantizer import Settings

    quantized = quantize_graph(network, samples, Settings(dtype=dtype, **options)).graph
    assert _kinds(made) == _kinds(quantized)
    for graph in (made, quantized):
        weights = {n.operands[1].type.dtype for n in graph.nodes if n.op.name in ("qnn.conv2d", "qnn.linear")}
        assert weights == {options.get("weight_dtype", DType.I8)}
        entries = {n.operands[1].type.size for n in graph.nodes if n.op.name == "qnn.lookup"}
        assert entries == {256 if dtype is DType.I8 or "byte_tables" in options else 65536}
    assert {n.result.type.dtype for n in made.nodes if n.op.name == "qnn.add"} == {dtype}


def test_outputs_become_integer_where_the_whole_is_wanted() -> None:
    partly, whole = integer_structure(_network()), integer_structure(_network(), whole=True)
    verify(whole)
    assert "nn.tanh" in {n.op.name for n in partly.nodes}
    assert "nn.tanh" not in {n.op.name for n in whole.nodes}
    assert whole.output_names == partly.output_names
    assert [v.type.shape for v in whole.outputs] == [v.type.shape for v in partly.outputs]


def test_no_weight_is_made() -> None:
    made = integer_structure(_network())
    weights = [n.operands[1].constant for n in made.nodes if n.op.name in ("qnn.conv2d", "qnn.linear")]
    assert weights
    assert all(w is not None and w._array is None for w in weights)
