"""Everything that cannot be imported is listed at once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from nascompiler.onnx import UnsupportedNode, UnsupportedNodesError, import_onnx
from tests.onnx.support import model, node, normal


def refused(data: bytes) -> list[tuple[str, str, str]]:
    with pytest.raises(UnsupportedNodesError) as raised:
        import_onnx(data)
    assert raised.value.exit_code == 3
    assert all(str(n) in str(raised.value) for n in raised.value.nodes)
    return [(n.name, n.operator, n.reason) for n in raised.value.nodes]


def test_every_node_with_its_reason() -> None:
    nodes = [
        node("Conv", "x w3", "a", name="volume"),
        node("Cos", "a", "b", name="wave"),
        node("Resize", "b _ s", "c", mode="cubic"),
        node("Relu", "c", "d"),
        node("MaxPool", "d", "e", kernel_shape=[2, 2, 2], name="pool"),
        helper.make_node("FusedConv", ["e"], ["y"], domain="com.microsoft", name="fused"),
    ]
    weights = {"w3": np.ones((2, 2, 3, 3, 3), np.float32), "s": np.ones(4, np.float32)}
    proto = onnx.ModelProto.FromString(model(nodes[:1], {"x": normal(1, 2, 5, 5, 5)}, weights, outputs="a"))
    proto.graph.node.extend(nodes[1:])
    proto.graph.output[0].name = "y"
    assert refused(proto.SerializeToString()) == [
        ("volume", "Conv, opset 17", "a convolution over 3 dimensions; accepted: 1 and 2"),
        ("wave", "Cos, opset 17", "this operator is not supported"),
        ("Resize#2", "Resize, opset 17", "mode='cubic' is not supported (accepted: 'nearest', 'linear')"),
        ("pool", "MaxPool, opset 17", "pooling over 3 dimensions; accepted: 1 and 2"),
        ("fused", "com.microsoft.FusedConv", "this operator is not supported"),
    ]


def test_shapes_behind_a_refused_node_are_not_held_against_the_next() -> None:
    nodes = [node("Cos", "x", "a"), node("Softmax", "a", "b", axis=-1), node("Add", "b n")]
    assert [n[0] for n in refused(model(nodes, {"x": normal(3), "n": np.arange(4)}))] == ["Cos#0"]


def test_inputs_and_weights_are_listed_too() -> None:
    proto = onnx.ModelProto.FromString(model([node("Sin", "x", "y")], {"x": normal(3)}))
    proto.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    proto.graph.initializer.add(name="w", data_type=onnx.TensorProto.INT4, dims=[1])
    listed = refused(proto.SerializeToString())
    assert [(name, operator) for name, operator, _ in listed] == [
        ("x", "input"),
        ("w", "initializer"),
        ("Sin#0", "Sin, opset 17"),
    ]
    assert "BFLOAT16 is not supported" in listed[0][2]


def test_control_flow_of_a_voice_detector() -> None:
    """Like silero-vad: If with two branches around one-dimensional convolutions."""
    branch = helper.make_graph([node("Conv", "x w", "t")], "b", [], [helper.make_tensor_value_info("t", 1, [1, 2, 8])])
    condition = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch, name="which")
    arrays = {"x": normal(1, 2, 10), "c": np.array(True)}
    proto = onnx.ModelProto.FromString(model([node("Relu", "x", "y")], arrays, {"w": normal(2, 2, 3)}))
    del proto.graph.node[:]
    proto.graph.node.append(condition)
    assert refused(proto.SerializeToString()) == [("which", "If, opset 17", "this operator is not supported")]


def test_attributes_that_the_operator_does_not_have() -> None:
    nodes = [node("Relu", "x", "a", alpha=1.0), node("LeakyRelu", "a", alpha=1)]
    listed = refused(_unchecked(nodes))
    assert [reason for _, _, reason in listed] == [
        "unknown attribute 'alpha'",
        "attribute 'alpha' is not of type FLOAT",
    ]


def test_too_many_inputs_and_outputs() -> None:
    listed = refused(_unchecked([node("Relu", "x x", "a"), node("Abs", "a", "y z")]))
    assert [reason for _, _, reason in listed] == [
        "2 inputs; 1 to 1 are expected",
        "2 outputs; 1 to 1 are expected",
    ]


def _unchecked(nodes: list[onnx.NodeProto]) -> bytes:
    proto = onnx.ModelProto.FromString(model([node("Relu", "x")], {"x": normal(3)}))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto.SerializeToString()


def test_a_row_reads_as_one_line() -> None:
    assert str(UnsupportedNode("n", "Cos, opset 17", "why")) == "n (Cos, opset 17): why"
