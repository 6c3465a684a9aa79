"""Quantised graphs out and in again: the checker, ONNX Runtime, and the same integers after the round trip.

ONNX Runtime's answer to NaN is not ours, and its sums in float32 have an order of their own: such results are compared
with a tolerance. Sums of products that are rounded at once are the same integers, wherever it computes on integers.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import nascompiler as nc
from nascompiler.ir.builder import Builder
from nascompiler.ir.errors import UsageError
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Graph
from nascompiler.ir.types import DType
from nascompiler.ir.verify import verify
from nascompiler.onnx import UnsupportedNodesError, export_onnx, import_onnx
from tests.ir.op_examples import OpExample
from tests.ir.qnn_examples import EXAMPLES
from tests.onnx.support import difference, normal, run

FORMATS = pytest.mark.parametrize("format", ["qdq", "qoperator"])
SUMS = ("qnn.conv2d", "qnn.linear", "qnn.matmul")
TO_INTEGERS = "propagate-layout,fake-quantization-to-integer"


def _is_exportable(example: OpExample) -> bool:
    """Whether it stands for numbers that ONNX Runtime has types and operators for."""
    wide_weights = example.op == "qnn.quantize_per_axis" and example.attributes.get("dtype") is DType.I16
    finite = all(a is None or a.dtype.kind != "f" or bool(np.isfinite(a).all()) for a in example.operands)
    vectors = example.op == "qnn.matmul" and all(a is not None and a.ndim == 1 for a in example.operands)
    return example.op.startswith("qnn.") and not wide_weights and finite and not vectors


def _allowed(example: OpExample, graph: Graph, format: str, optimized: bool) -> float:
    """How far ONNX Runtime may be away: one integer, or a rounding error of float32; nothing for sums of 8 bits."""
    result = graph.outputs[0].type.dtype
    if result.is_float:
        return 1e-4
    clamped = example.attributes.get("activation", "none") in ("none", "relu", "relu6")
    bytes_only = all(a is None or a.dtype.itemsize != 2 for a in example.operands)
    integers = clamped and bytes_only and (format == "qoperator" or optimized)
    return 0 if example.op in SUMS and integers else 1


@FORMATS
@pytest.mark.parametrize("example", [e for e in EXAMPLES if _is_exportable(e)], ids=str)
def test_every_op(example: OpExample, format: str) -> None:
    graph = example.graph()
    inputs = example.inputs(graph)
    expected = evaluate(graph, inputs)
    before = str(graph)
    proto = export_onnx(graph, format=format)
    assert str(graph) == before
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString()
    for optimized in (True, False):
        found = difference(run(data, inputs, optimized=optimized), expected)
        assert found <= _allowed(example, graph, format, optimized)
    if not example.op.endswith("_per_axis"):  # of computed values: not imported
        again = import_onnx(data)
        verify(again)
        integers = nc.optimize(again, TO_INTEGERS)
        assert difference(evaluate(integers, inputs), expected) < 1e-5
        assert difference(evaluate(again, inputs), expected) <= 1


def operators(graph: Graph, format: str) -> Counter[str]:
    proto = export_onnx(graph, format=format)
    onnx.checker.check_model(proto, full_check=True)
    return Counter(n.op_type for n in proto.graph.node)


def conv(b: Builder, x: Any, features: int, **how: Any) -> Any:
    """A quantised 1x1 convolution of i8 at scale 0.1, with scale 0.1 again."""
    weight = np.random.default_rng(features).integers(-127, 128, (1, 1, x.type.shape[-1], features)).astype(np.int8)
    operands = (b.constant(weight), b.constant(np.linspace(0.002, 0.004, features, dtype=np.float32)))
    bias = b.constant(np.arange(features, dtype=np.int32) * 100)
    return b.qnn.conv2d(x, *operands, bias, x_scale=0.1, **{"scale": 0.1, **how})


def image_network(**how: Any) -> Graph:
    """A residual of two convolutions, max pooling, and a classifier, on an NCHW image."""
    b = Builder()
    image = b.nn.transpose(b.input("image", (1, 3, 8, 8)), permutation=(0, 2, 3, 1))
    x = b.qnn.quantize(image, scale=0.1)
    y = conv(b, conv(b, x, 8, **how), 8)
    y = b.qnn.add(y, conv(b, x, 8), a_scale=0.1, b_scale=0.1, scale=0.2)
    y = b.nn.max_pool2d(y, kernel=(2, 2), strides=(2, 2))
    y = b.nn.concat(y, y, axis=3)
    y = b.qnn.global_average_pool(y, x_scale=0.2, scale=0.1)
    flat = b.nn.flatten(y)
    weight = np.random.default_rng(0).integers(-127, 128, (16, 5)).astype(np.int8)
    scale = b.constant(np.array([0.01], np.float32))
    return b.outputs(scores=b.qnn.linear(flat, b.constant(weight), scale, x_scale=0.1, dtype=DType.F32))


@pytest.mark.parametrize("activation", ["none", "relu", "relu6", "hard_swish"])
@FORMATS
def test_a_network(format: str, activation: str) -> None:
    graph = image_network(activation=activation)
    assert operators(graph, format)["Transpose"] == 0
    data = export_onnx(graph, format=format).SerializeToString()
    inputs = {"image": normal(1, 3, 8, 8) * 4}
    expected = evaluate(graph, inputs)
    assert difference(run(data, inputs), expected) < 0.2
    integers = nc.optimize(import_onnx(data), TO_INTEGERS)
    assert difference(evaluate(integers, inputs), expected) < 1e-5


def test_operators_of_the_formats() -> None:
    graph = image_network()
    qdq, qoperator = operators(graph, "qdq"), operators(graph, "qoperator")
    assert qdq["Conv"] == 3
    assert not any(name.startswith("QLinear") for name in qdq)
    assert qdq["DequantizeLinear"] < 20  # one for each value, weight and bias
    kept = {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QGemm", "MaxPool", "Concat", "Flatten"}
    assert set(qoperator) == {"QuantizeLinear", *kept}


@FORMATS
def test_round_trip_gives_the_same_ops(format: str) -> None:
    graph = image_network()
    again = nc.optimize(import_onnx(export_onnx(graph, format=format).SerializeToString()), TO_INTEGERS)
    assert Counter(n.op.name for n in again.nodes) == Counter(n.op.name for n in graph.nodes)


def test_a_clamp_within_the_range_does_not_stand_between_sum_and_rounding() -> None:
    """ONNX Runtime would compute the sum in float otherwise."""
    b = Builder()
    x = b.qnn.quantize(b.input("x", (1, 2, 2, 3)), scale=0.1)
    graph = b.outputs(y=conv(b, x, 4, activation="relu"))
    names = [n.op_type for n in export_onnx(graph).graph.node]
    assert names.index("Relu") > names.index("QuantizeLinear", names.index("Conv"))
    assert operators(graph, "qoperator")["Clip"] == 1
    low = Builder()
    x = low.qnn.quantize(low.input("x", (1, 2, 2, 3)), scale=0.1)
    graph = low.outputs(y=conv(low, x, 4, activation="relu", zero_point=-128))
    names = [n.op_type for n in export_onnx(graph).graph.node]
    assert names[names.index("Conv") + 1] == "Relu"
    assert operators(graph, "qoperator")["Clip"] == 0


@FORMATS
def test_structural_ops_of_16_bits(format: str) -> None:
    b = Builder()
    x = b.qnn.quantize(b.input("x", (1, 4, 4, 2)), scale=0.001, zero_point=100, dtype=DType.I16)
    y = b.nn.max_pool2d(b.nn.pad(x, before=(0, 1, 0, 0), after=(0, 1, 0, 0), value=100.0), kernel=(2, 2))
    y = b.nn.resize(b.nn.transpose(y, permutation=(0, 2, 1, 3)), size=(6, 10))
    graph = b.outputs(y=b.nn.reshape(y, shape=(-1, 2)))
    inputs = {"x": normal(1, 4, 4, 2)}
    data = export_onnx(graph, format=format).SerializeToString()
    assert difference(run(data, inputs), evaluate(graph, inputs)) == 0


@FORMATS
def test_tables_of_no_function_are_gathered(format: str) -> None:
    b = Builder()
    x = b.qnn.quantize(b.input("x", (3, 50)), scale=0.05)
    table = np.random.default_rng(0).integers(-128, 128, 256).astype(np.int8)
    graph = b.outputs(y=b.qnn.lookup(x, b.constant(table), x_scale=0.05, scale=0.1, function="nn.sigmoid"))
    assert operators(graph, format)["Gather"] == 1
    inputs = {"x": normal(3, 50)}
    data = export_onnx(graph, format=format).SerializeToString()
    assert difference(run(data, inputs), evaluate(graph, inputs)) == 0


@FORMATS
@pytest.mark.parametrize("shape", [(1, 1, 1, 6), (2, 3, 4, 6), (2, 3, 6), (6,), ("n", 3, 6)])
def test_linear_layers_on_any_shape(format: str, shape: tuple[Any, ...]) -> None:
    b = Builder()
    x = b.qnn.quantize(b.input("x", shape), scale=0.05)
    weight = np.random.default_rng(0).integers(-127, 128, (6, 4)).astype(np.int8)
    parameters = (
        b.constant(weight),
        b.constant(np.array([0.0137], np.float32)),
        b.constant(np.arange(4, dtype=np.int32)),
    )
    y = b.qnn.linear(x, *parameters, x_scale=0.05, scale=0.05, activation="relu", zero_point=-128)
    graph = b.outputs(y=y)
    inputs = {"x": normal(*(2 if isinstance(d, str) else d for d in shape))}
    found = operators(graph, format)
    assert found["Conv"] + found["QLinearConv"] == (1 if len(shape) == 4 else 0)
    data = export_onnx(graph, format=format).SerializeToString()
    assert difference(run(data, inputs), evaluate(graph, inputs)) == 0


def test_fake_quantised_linear_layers_on_images_are_convolutions() -> None:
    b = Builder()
    x = b.qnn.dequantize(b.qnn.quantize(b.input("x", (1, 2, 2, 6)), scale=0.05), x_scale=0.05)
    scale = b.constant(np.full(4, 0.01, np.float32))
    weight = b.qnn.dequantize_per_axis(
        b.qnn.quantize_per_axis(b.constant(normal(6, 4)), scale, axis=-1), scale, axis=-1
    )
    graph = b.outputs(y=b.nn.linear(x, weight, b.constant(normal(4))))
    assert operators(graph, "qdq")["Conv"] == 1
    inputs = {"x": normal(1, 2, 2, 6)}
    data = export_onnx(graph).SerializeToString()
    assert difference(run(data, inputs, optimized=False), evaluate(graph, inputs)) < 1e-4


def test_existing_dequantize_nodes_are_shared() -> None:
    b = Builder()
    x = b.qnn.quantize(b.input("x", (1, 2, 2, 3)), scale=0.1)
    y = conv(b, x, 4)
    real = b.qnn.dequantize(x, x_scale=0.1)
    assert operators(b.outputs(y=y, z=b.nn.relu(real)), "qdq")["DequantizeLinear"] == 3


def test_what_has_no_form_is_listed() -> None:
    b = Builder()
    x = b.qnn.quantize(b.input("x", (1, 2, 2, 4)), scale=0.1)
    weight, scale = b.input("w", (2, 2, 4, 1), DType.I8), b.input("s", (2,))
    y = b.qnn.conv2d_transpose(x, weight, scale, x_scale=0.1, scale=0.1, groups=2, name="up")
    with pytest.raises(UnsupportedNodesError, match=r"up \(qnn.conv2d_transpose\)"):
        export_onnx(b.outputs(y=y))


def test_formats_by_name(tmp_path: Path) -> None:
    graph = image_network()
    for name, expected in (("qdq", "Conv"), ("qoperator", "QLinearConv")):
        nc.export(graph, tmp_path / "q.onnx", format=name)
        assert expected in [n.op_type for n in onnx.load(tmp_path / "q.onnx").graph.node]
    with pytest.raises(UsageError, match="did you mean qdq"):
        nc.export(graph, tmp_path / "x.onnx", format="qdp")
    assert not (tmp_path / "x.onnx").exists()


@FORMATS
def test_weights_are_stored_as_integers(format: str) -> None:
    stored = export_onnx(image_network(), format=format).graph.initializer
    assert sum(int(np.prod(i.dims)) for i in stored if i.data_type == onnx.TensorProto.FLOAT) < 100
