import numpy as np
import pytest

from nascompiler.ir import Builder, DType, Graph, Quantization, TensorType, UsageError


def test_a_network_in_three_lines():
    builder = Builder("mlp")
    x = builder.input("x", ("N", 4))
    graph = builder.outputs(y=builder.nn.relu(builder.nn.linear(x, builder.constant(np.ones((4, 2), np.float32)))))
    assert graph.name == "mlp"
    assert graph.output_names == ["y"]
    assert str(graph.outputs[0].type) == "f32[N,2]"


def test_input_types():
    builder = Builder()
    assert builder.input("a", [1, None]).type == TensorType((1, None))
    assert builder.input("b", (1,), DType.I8).type == TensorType((1,), DType.I8)
    quantized = TensorType((1,), DType.I8, Quantization.per_tensor(0.5))
    assert builder.input("c", quantized).type is quantized


def test_nodes_go_before_a_node_and_carry_the_origin():
    builder = Builder(origin="cell 3")
    last = builder.nn.exp(builder.input("x", (2,)))
    graph = builder.outputs(y=last)
    value = Builder(graph, before=last.producer, origin="edge").nn.relu(graph.inputs[0], name="r")
    assert [node.origin for node in graph.nodes] == ["edge", "cell 3"]
    assert value.name == "r"


def test_several_results_and_their_names():
    builder = Builder()
    first, second = builder.nn.split(builder.input("x", (3,)), axis=0, sizes=(1, 2), names=("a", "b"))
    assert (first.name, second.name) == ("a", "b")
    assert second.index == 1


def test_absent_operands_stand_last():
    builder = Builder()
    x, w = builder.input("x", (2, 3)), builder.input("w", (3, 4))
    assert len(builder.nn.linear(x, w, None).producer.operands) == 2
    with pytest.raises(ValueError, match="only the last operands may be None"):
        builder.nn.linear(x, None, w)


def test_dialects_list_their_ops():
    builder = Builder()
    assert "conv2d" in dir(builder.nn)
    assert "cell" in dir(builder.arch)
    with pytest.raises(UsageError, match=r"did you mean nn.conv2d"):
        builder.nn.conv2dd(builder.input("x", (1,)))


def test_an_existing_graph_is_continued():
    graph = Graph("g")
    assert Builder(graph).graph is graph
