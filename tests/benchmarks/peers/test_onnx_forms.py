from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.peers.onnx_forms import use_fast_forms

X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 8])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])


def model(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [X], [Y], tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return made


def answer(made: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(2).standard_normal((1, 2, 8, 8)).astype(np.float32)
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


PADS = np.array([0, 0, 1, 2, 0, 0, 3, 4])
WEIGHTS = np.random.default_rng(1).standard_normal((4, 2, 3, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("made", "ops"),
    [
        (
            model(
                [
                    helper.make_node("Pad", ["x", "pads"], ["p"]),
                    helper.make_node("Conv", ["p", "w"], ["y"], pads=[1, 0, 0, 1], strides=[2, 2]),
                ],
                pads=PADS,
                w=WEIGHTS,
            ),
            ["Conv"],
        ),
        (
            model(
                [
                    helper.make_node("Pad", ["x", "pads"], ["p"]),
                    helper.make_node("Conv", ["p", "w"], ["c"]),
                    helper.make_node("Relu", ["p"], ["r"]),
                    helper.make_node("ReduceSum", ["c"], ["s"]),
                    helper.make_node("Add", ["r", "s"], ["y"]),
                ],
                pads=PADS,
                w=WEIGHTS,
            ),
            ["Pad", "Conv", "Relu", "ReduceSum", "Add"],
        ),
        (
            model([helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)]),
            ["MaxPool"],
        ),
        (
            model([helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)], axes=np.array([-1, -2])),
            ["GlobalAveragePool"],
        ),
        (
            model([helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=1)], axes=np.array([1, 2])),
            ["ReduceMean"],
        ),
    ],
    ids=["pad-conv", "pad-read-by-others", "ceil-mode", "mean", "mean-over-channels"],
)
def test_the_function_stays_the_same(made: onnx.ModelProto, ops: list[str]) -> None:
    expected = answer(made)
    use_fast_forms(made)
    onnx.checker.check_model(made)
    assert [node.op_type for node in made.graph.node] == ops
    read = {name for node in made.graph.node for name in node.input}
    assert {tensor.name for tensor in made.graph.initializer} <= read
    assert not any(a.name == "ceil_mode" for node in made.graph.node for a in node.attribute)
    np.testing.assert_allclose(answer(made), expected, rtol=1e-6)
