"""What joins take with them, and which are left to TVM."""

from __future__ import annotations

import pytest

from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from nascompiler.ir.types import DType
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import NumericCheck


def assigned(graph: Graph) -> Graph:
    """With kernels assigned, checked to compute the same bit for bit."""
    return run_pipeline(graph, "assign-kernels", instruments=[NumericCheck()])


def inputs(builder: Builder, count: int, channels: int = 8):
    return [builder.input(f"x{i}", (1, 4, 4, channels)) for i in range(count)]


def test_sums_and_the_activation_behind_go_into_the_join():
    builder = Builder("net")
    a, b, c = inputs(builder, 3)
    y = builder.nn.relu(builder.nn.concat(a, builder.nn.add(b, c), builder.nn.add(b, b), axis=3))
    (node,) = assigned(builder.outputs(y=y)).nodes
    assert node.op.name == "cpu.joined_sums"
    assert (node["terms"], node["activation"]) == ((1, 2, 2), "relu")
    assert [v.name for v in node.operands] == ["x0", "x1", "x2", "x1", "x1"]


def test_a_sum_that_others_need_stays():
    builder = Builder("net")
    a, b, c = inputs(builder, 3)
    total = builder.nn.add(b, c)
    graph = assigned(builder.outputs(y=builder.nn.concat(a, total, axis=3), total=total))
    assert [n.op.name for n in graph.nodes] == ["nn.add", "cpu.joined_sums"]


def test_a_sum_that_is_joined_twice_stays():
    builder = Builder("net")
    a, b = inputs(builder, 2)
    total = builder.nn.add(a, b)
    graph = assigned(builder.outputs(y=builder.nn.concat(total, total, axis=3)))
    assert [n.op.name for n in graph.nodes] == ["nn.add", "cpu.joined_sums"]


def test_a_sum_that_broadcasts_stays():
    builder = Builder("net")
    a, b = inputs(builder, 2)
    row = builder.input("row", (1, 1, 1, 8))
    graph = assigned(builder.outputs(y=builder.nn.concat(a, builder.nn.add(b, row), axis=3)))
    assert [n.op.name for n in graph.nodes] == ["nn.add", "cpu.joined_sums"]


def test_bytes_are_only_joined():
    builder = Builder("net")
    xs = [builder.input(f"x{i}", (1, 4, 4, 8), DType.I8) for i in range(2)]
    graph = assigned(builder.outputs(y=builder.nn.relu(builder.nn.concat(*xs, axis=3))))
    assert [n.op.name for n in graph.nodes] == ["cpu.joined_sums", "nn.relu"]


def test_other_types_and_few_channels_are_left_to_tvm():
    for dtype, channels in ((DType.I32, 8), (DType.F32, 2)):
        builder = Builder("net")
        xs = [builder.input(f"x{i}", (1, 4, 4, channels), dtype) for i in range(2)]
        graph = assigned(builder.outputs(y=builder.nn.concat(*xs, axis=3)))
        assert [n.op.name for n in graph.nodes] == ["nn.concat"]


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "swish"])
def test_exponentials_that_stand_alone(name):
    builder = Builder("scores")
    y = builder.op(f"nn.{name}", builder.input("x", (1, 20, 30, 1)), name="y")
    graph = assigned(builder.outputs(y=y))
    (node,) = graph.nodes
    assert (node.op.name, node["activation"], node["axis"], node["terms"]) == ("cpu.joined_sums", name, 1, (1,))
    assert node.result.name == "y"


def test_others_that_stand_alone_are_left_to_tvm():
    builder = Builder("scores")
    y = builder.nn.hard_swish(builder.input("x", (1, 20, 30, 1)))
    z = builder.nn.sigmoid(builder.input("few", (1, 3)))
    assert [n.op.name for n in assigned(builder.outputs(y=y, z=z)).nodes] == ["nn.hard_swish", "nn.sigmoid"]
