"""QuantizeLinear and DequantizeLinear, in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nascompiler.ir.builder import Builder
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.types import Array, DType
from nascompiler.onnx import UnsupportedNodesError, export_onnx, import_onnx
from tests.onnx.support import agrees, difference, largest_difference, model, node, normal, ops, run
from tests.onnx.test_backend import Case, cases, outcome

_f32 = np.float32
CONTRIBUTED = "com.microsoft"


def integers(dtype: Any, *shape: int, seed: int = 0) -> Array:
    """From the whole range of a type."""
    info = np.iinfo(dtype)
    return np.random.default_rng([31, seed]).integers(info.min, info.max + 1, shape).astype(dtype)


def refused(data: bytes) -> str:
    with pytest.raises(UnsupportedNodesError) as raised:
        import_onnx(data)
    return str(raised.value)


@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_round_trip_of_an_activation(dtype: Any, opset: int) -> None:
    weights = {"s": _f32(0.1), "z": dtype(7)}
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z")]
    x = {"x": normal(3, 200) * 8}
    graph = import_onnx(model(nodes, x, weights, opset=opset))
    assert ops(graph) == ["qnn.quantize", "qnn.dequantize"]
    data = model(nodes, x, weights, outputs="y q", opset=opset)
    assert largest_difference(data, x) == largest_difference(data, x, optimized=False) == 0


def test_without_a_zero_point_it_is_unsigned() -> None:
    data = model([node("QuantizeLinear", "x s")], {"x": normal(9)}, {"s": _f32(0.1)})
    assert import_onnx(data).outputs[0].type.dtype is DType.U8


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_16_bits(dtype: Any) -> None:
    x = {"x": normal(500) * 50}
    nodes = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z")]
    weights = {"s": _f32(0.003), "z": dtype(300)}
    assert largest_difference(model(nodes, x, weights, outputs="y q", opset=21), x) == 0
    for n in nodes:
        n.domain = CONTRIBUTED
    assert largest_difference(model(nodes, x, weights, outputs="y q"), x) == 0


def test_weights_keep_their_integers_next_to_the_op_that_uses_them() -> None:
    weights = {
        "w": integers(np.int8, 6, 3, 3, 3),
        "ws": np.linspace(0.01, 0.02, 6, dtype=_f32),
        "wz": np.zeros(6, np.int8),
        "b": np.arange(6, dtype=np.int32),
        "bs": np.full(6, 0.001, _f32),
    }
    nodes = [
        node("DequantizeLinear", "w ws wz", "dw", axis=0),
        node("DequantizeLinear", "b bs", "db", axis=0),
        node("Conv", "x dw db"),
    ]
    x = {"x": normal(1, 3, 5, 5)}
    graph = agrees(model(nodes, x, weights), x)
    assert ops(graph) == ["qnn.dequantize_per_axis", "qnn.dequantize_per_axis", "conv2d"]
    weight = next(n for n in graph.nodes if n.op.name == "qnn.dequantize_per_axis" and n.result.type.rank == 4)
    assert weight["axis"] == 3
    assert weight.operands[0].array is not None


def test_a_line_of_weights_and_a_matrix() -> None:
    weights = {"w": integers(np.uint8, 4, 3, 5), "m": integers(np.int8, 4, 7), "s": _f32(0.02), "z": np.uint8(120)}
    nodes = [
        node("DequantizeLinear", "w s z", "dw"),
        node("DequantizeLinear", "m s", "dm"),
        node("Conv", "x dw", "c"),
        node("Transpose", "c", "t", perm=[0, 2, 1]),
        node("MatMul", "t dm"),
    ]
    x = {"x": normal(1, 3, 9)}
    graph = agrees(model(nodes, x, weights), x)
    assert "linear" in ops(graph)
    assert all(n.operands[0].is_constant for n in graph.nodes if n.op.name == "qnn.dequantize")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_zero_points_that_differ_by_channel(dtype: Any) -> None:
    weights = {"w": integers(dtype, 5, 4), "s": np.linspace(0.1, 0.2, 5, dtype=_f32), "z": integers(dtype, 5)}
    nodes = [node("DequantizeLinear", "w s z", "dw", axis=0), node("Gemm", "x dw", transB=1)]
    x = {"x": normal(2, 4)}
    assert ops(agrees(model(nodes, x, weights, opset=21), x)) == ["linear"]


def test_constants_that_are_quantised_become_integers() -> None:
    """As exports of fake-quantised networks have them."""
    weights = {"w": normal(6, 4, 1, 1), "s": np.linspace(0.01, 0.02, 6, dtype=_f32), "z": np.zeros(6, np.int8)}
    nodes = [
        node("QuantizeLinear", "w s z", "q", axis=0),
        node("DequantizeLinear", "q s z", "dw", axis=0),
        node("Conv", "x dw"),
    ]
    x = {"x": normal(1, 4, 3, 3)}
    assert ops(agrees(model(nodes, x, weights), x)) == ["qnn.dequantize_per_axis", "conv2d"]


def test_sums_are_dequantised() -> None:
    weights = {"w": integers(np.int8, 8, 5), "s": np.linspace(1e-4, 2e-4, 5, dtype=_f32)}
    nodes = [node("MatMulInteger", "x w", "t"), node("DequantizeLinear", "t s", axis=1)]
    x = {"x": integers(np.uint8, 3, 8)}
    agrees(model(nodes, x, weights), x)


def test_what_is_not_supported_says_so() -> None:
    x, q = {"x": normal(2, 3)}, {"x": integers(np.int8, 2, 3)}
    quantize, dequantize = node("QuantizeLinear", "x s z", axis=1), node("DequantizeLinear", "x s z", axis=1)
    three = {"s": np.full(3, 0.1, _f32), "z": np.zeros(3, np.int8)}
    assert "one for the whole tensor is accepted" in refused(model([quantize], x, three))
    assert "one for the whole tensor is accepted" in refused(model([dequantize], q, three))
    computed = model([quantize], {**x, "s": np.asarray(0.1, _f32)}, {"z": np.int8(0)})
    assert "computed at run time" in refused(computed)
    assert "positive" in refused(model([quantize], x, {"s": _f32(0), "z": np.int8(0)}))
    blocked = node("DequantizeLinear", "x s", axis=1, block_size=3)
    assert "block_size=3" in refused(model([blocked], q, {"s": np.full((2, 1), 0.1, _f32)}, opset=21))
    half = {"s": np.float16(0.1), "z": np.int8(0)}
    assert "f16" in refused(model([quantize], {"x": normal(2, dtype=np.float16)}, half, opset=21))


def with_constants(case: Case, *names: str) -> Case:
    """A test of the onnx package with some of its inputs as initializers; their values are those of its data."""
    proto = onnx.ModelProto.FromString(case.model)
    (inputs, outputs), *_ = case.data
    arrays = [numpy_helper.to_array(a) if isinstance(a, onnx.TensorProto) else np.asarray(a) for a in inputs]
    by_name = dict(zip([v.name for v in proto.graph.input], arrays, strict=True))
    for name in names:
        proto.graph.initializer.append(numpy_helper.from_array(by_name.pop(name), name))
    kept = [v for v in proto.graph.input if v.name in by_name]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    return Case(case.name, proto.SerializeToString(), [(list(by_name.values()), outputs)], case.rtol, case.atol)


STANDARD = {
    "test_quantizelinear": ("y_scale", "y_zero_point"),
    "test_quantizelinear_int16": ("y_scale", "y_zero_point"),
    "test_quantizelinear_uint16": ("y_scale", "y_zero_point"),
    "test_dequantizelinear": ("x_scale", "x_zero_point"),
    "test_dequantizelinear_int16": ("x_scale", "x_zero_point"),
    "test_dequantizelinear_uint16": ("x_scale", "x_zero_point"),
    "test_dequantizelinear_axis": ("x", "x_scale", "x_zero_point"),
    "test_qlinearconv": ("x_scale", "x_zero_point", "w", "w_scale", "w_zero_point", "y_scale", "y_zero_point"),
    **{
        f"test_qlinearmatmul_{rank}D_{dtype}_float32": tuple(f"{v}_{p}" for v in "aby" for p in ("scale", "zero_point"))
        for rank in (2, 3)
        for dtype in ("int8", "uint8")
    },
}


def test_the_standard_vectors() -> None:
    """In the onnx package scales and zero points are inputs; here they are constants."""
    found = {case.name: with_constants(case, *STANDARD[case.name]) for case in cases() if case.name in STANDARD}
    assert set(found) == set(STANDARD)
    assert {name: outcome(case) for name, case in found.items()} == dict.fromkeys(found, "pass")


def test_export_of_fake_quantisation() -> None:
    """Weights are stored as integers, in ONNX's layout; a value is dequantised once."""
    b = Builder()
    x = b.input("x", (1, 4, 6, 3))
    q = b.qnn.dequantize(b.qnn.quantize(x, scale=0.05, zero_point=3), x_scale=0.05, x_zero_point=3)
    scale = b.constant(np.linspace(0.01, 0.02, 5, dtype=_f32))
    weight = b.qnn.quantize_per_axis(b.constant(normal(3, 3, 3, 5)), scale, axis=3)
    y = b.nn.conv2d(q, b.qnn.dequantize_per_axis(weight, scale, axis=3), b.constant(normal(5)))
    graph = b.outputs(y=y, z=b.nn.relu(q))
    proto = export_onnx(graph)
    names = [n.op_type for n in proto.graph.node]
    assert (names.count("QuantizeLinear"), names.count("DequantizeLinear")) == (1, 2)
    stored = {i.data_type: list(i.dims) for i in proto.graph.initializer if len(i.dims) == 4}
    assert stored == {onnx.TensorProto.INT8: [5, 3, 3, 3]}
    inputs = {"x": normal(1, 4, 6, 3)}
    assert difference(run(proto.SerializeToString(), inputs, optimized=False), evaluate(graph, inputs)) < 1e-5


def test_integers_of_16_bits_need_a_newer_opset() -> None:
    b = Builder()
    x = b.input("x", (3,))
    proto = export_onnx(b.outputs(y=b.qnn.quantize(x, scale=0.1, dtype=DType.I16)))
    assert [o.version for o in proto.opset_import] == [21]
    onnx.checker.check_model(proto, full_check=True)
