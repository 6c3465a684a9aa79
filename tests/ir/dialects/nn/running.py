"""Running one op, ours or another implementation's."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.builder import Builder
from nascompiler.ir.evaluate import evaluate_op
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import Array, DType, TensorType

NCHW_TO_NHWC = (0, 2, 3, 1)
NHWC_TO_NCHW = (0, 3, 1, 2)


def run(op: str, *operands: Any, **attributes: Any) -> Any:
    """The results of the reference evaluation; just the one when there is one."""
    record = OPS[f"nn.{op}"]
    arrays = [np.asarray(a) for a in operands if a is not None]
    results = evaluate_op(record, arrays, record.complete_attributes(attributes))
    return results[0] if len(results) == 1 else results


def infer(op: str, *operands: Any, **attributes: Any) -> Any:
    """The shape that is inferred (of the first result) for operands given as shapes, types, or constant arrays."""
    builder = Builder()
    values = []
    for index, operand in enumerate(operands):
        if isinstance(operand, np.ndarray):
            values.append(builder.constant(operand))
        elif operand is None:
            values.append(None)
        else:
            values.append(builder.input(f"x{index}", operand))
    made = builder.op(f"nn.{op}", *values, **attributes)
    return (made[0] if isinstance(made, tuple) else made).type.shape


def typed(shape: tuple[Any, ...], dtype: DType) -> TensorType:
    return TensorType(shape, dtype)


def onnx_run(op: str, *operands: Array | None, opset: int = 21, results: int = 1, **attributes: Any) -> Any:
    """The results of a one-node ONNX model in onnxruntime; an empty operand is left out."""
    import onnxruntime
    from onnx import helper

    names = ["" if a is None else f"x{i}" for i, a in enumerate(operands)]
    present = {name: a for name, a in zip(names, operands, strict=True) if a is not None}
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in present.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(f"y{i}") for i in range(results)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(results)], **attributes)
    graph = helper.make_graph([node], "one", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(None, present)
    return values[0] if results == 1 else values


def close(actual: Any, expected: Any, *, tolerance: float = 1e-5) -> None:
    """Equal in shape and element type, and in value up to `tolerance`, relative and absolute."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
