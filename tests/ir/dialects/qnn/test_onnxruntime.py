"""ONNX Runtime's operators on integers: which follow the same rules, and which are a step apart (docs/integers.md)."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import DType
from tests.ir.dialects.qnn.by_hand import integers, run

pytest.importorskip("onnxruntime")
TYPES = (DType.I8, DType.U8)


def _onnx(op, operands, domain="", **attributes):
    """The result of a one-node model."""
    import onnxruntime
    from onnx import helper

    arrays = {f"x{i}": np.asarray(a) for i, a in enumerate(operands)}
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in arrays.items()
    ]
    node = helper.make_node(op, list(arrays), ["y"], domain=domain, **attributes)
    graph = helper.make_graph([node], "one", inputs, [helper.make_empty_tensor_value_info("y")])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, arrays)[0]


def _steps_apart(a, b):
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())


@pytest.mark.parametrize("dtype", [*TYPES, DType.I16])
def test_quantize_and_dequantize_agree(dtype):
    generator = np.random.default_rng(0)
    ties = generator.integers(-300, 300, 20000) * np.float32(0.05)
    x = np.concatenate([ties, generator.standard_normal(20000) * 8]).astype(np.float32)
    step, zero_point = np.float32(0.1), np.asarray(7, dtype.numpy)
    ours = run("qnn.quantize", x, scale=0.1, zero_point=7, dtype=dtype)
    np.testing.assert_array_equal(_onnx("QuantizeLinear", [x, step, zero_point]), ours)
    back = run("qnn.dequantize", ours, x_scale=0.1, x_zero_point=7)
    np.testing.assert_array_equal(_onnx("DequantizeLinear", [ours, step, zero_point]), back)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernel", [(3, 3, 16, 32), (3, 3, 1, 16), (1, 1, 16, 40)])
def test_convolutions_agree(dtype, kernel):
    generator = np.random.default_rng(0)
    features, groups, pad = kernel[3], 16 // kernel[2], (kernel[0] // 2,) * 4
    x, weight = integers(dtype, 1, 9, 10, 16), integers(DType.I8, *kernel, seed=1)
    scale = generator.uniform(0.001, 0.02, features).astype(np.float32)
    bias = generator.integers(-9000, 9000, features).astype(np.int32)
    step = {"x_scale": 0.03, "x_zero_point": 5, "scale": 1.7, "zero_point": 5, "dtype": dtype}
    ours = run("qnn.conv2d", x, weight, scale, bias, **step, groups=groups, padding=pad)
    f, zero_point = np.float32, np.asarray(5, dtype.numpy)
    x, weight = x.transpose(0, 3, 1, 2), weight.transpose(3, 2, 0, 1)
    operands = [x, f(0.03), zero_point, weight, scale, np.zeros(features, np.int8), f(1.7), zero_point, bias]
    theirs = _onnx("QLinearConv", operands, group=groups, pads=pad)
    np.testing.assert_array_equal(theirs.transpose(0, 2, 3, 1), ours)


@pytest.mark.parametrize("dtype", TYPES)
def test_matrix_products_agree(dtype):
    a, b = integers(dtype, 40, 64), integers(dtype, 64, 50, seed=1)
    f, zero_point = np.float32, np.asarray(9, dtype.numpy)
    theirs = _onnx("QLinearMatMul", [a, f(0.02), zero_point, b, f(0.03), zero_point, f(1.3), zero_point])
    step = {"a_scale": 0.02, "a_zero_point": 9, "b_scale": 0.03, "b_zero_point": 9, "scale": 1.3, "zero_point": 9}
    np.testing.assert_array_equal(theirs, run("qnn.matmul", a, b, **step, dtype=dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("op", "scale"), [("add", 0.0311), ("mul", 0.0571)])
def test_sums_and_products_of_all_pairs_are_at_most_a_step_apart(dtype, op, scale):
    every = np.arange(256) + np.iinfo(dtype.numpy.name).min
    a, b = (m.reshape(-1).astype(dtype.numpy) for m in np.meshgrid(every, every))
    f, zero_point = np.float32, np.asarray(9, dtype.numpy)
    operands = [a, f(0.0173), zero_point, b, f(0.0259), zero_point, f(scale), zero_point]
    theirs = _onnx(f"QLinear{op.capitalize()}", operands, "com.microsoft")
    step = {"a_scale": 0.0173, "a_zero_point": 9, "b_scale": 0.0259, "b_zero_point": 9}
    ours = run(f"qnn.{op}", a, b, **step, scale=scale, zero_point=9, dtype=dtype)
    assert _steps_apart(theirs, ours) <= 1
    assert np.mean(theirs != ours) < 0.001


@pytest.mark.parametrize("dtype", TYPES)
def test_means_are_at_most_a_step_apart(dtype):
    x = integers(dtype, 2, 14, 14, 16)
    f, zero_point = np.float32, np.asarray(9, dtype.numpy)
    operands = [x, f(0.3), zero_point, f(0.2), zero_point]
    step = {"x_scale": 0.3, "x_zero_point": 9, "scale": 0.2, "zero_point": 9, "dtype": dtype}
    theirs = _onnx("QLinearGlobalAveragePool", operands, "com.microsoft", channels_last=1)
    assert _steps_apart(theirs, run("qnn.global_average_pool", x, **step)) <= 1
    window = {"channels_last": 1, "kernel_shape": (3, 3), "pads": (1,) * 4}
    theirs = _onnx("QLinearAveragePool", operands, "com.microsoft", **window)
    assert _steps_apart(theirs, run("qnn.average_pool2d", x, **step, kernel=(3, 3), padding=(1,) * 4)) <= 1
