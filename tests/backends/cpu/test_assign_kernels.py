"""Which nodes get a kernel, what goes with them, and why others do not."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.placement import placement_table
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph, UsageError
from nascompiler.ir.builder import Builder
from nascompiler.ir.types import DType
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import NumericCheck


class Net:
    """A builder with random constants."""

    def __init__(self) -> None:
        self.builder = Builder("net")
        self.nn = self.builder.nn
        self.generator = np.random.default_rng(0)
        self.x = self.builder.input("x", (1, 6, 6, 4))

    def weight(self, *shape: int):
        return self.builder.constant(self.generator.standard_normal(shape).astype(np.float32))

    def convolution(self, x=None, *, bias=True, out=4, **how):
        x = self.x if x is None else x
        operands = [self.weight(3, 3, x.type.shape[3] // how.get("groups", 1), out), *([self.weight(out)] * bias)]
        return self.nn.conv2d(x, *operands, padding=(1, 1, 1, 1), **how)


def assigned(graph: Graph) -> Graph:
    """With kernels assigned, checked to compute the same bit for bit."""
    return run_pipeline(graph, "assign-kernels", instruments=[NumericCheck()])


def ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def only(graph: Graph):
    (node,) = graph.nodes
    return node


def test_bias_residual_and_activation_go_into_the_call():
    net = Net()
    y = net.nn.add(net.convolution(bias=False), net.weight(4))
    y = net.nn.relu6(net.nn.add(net.x, y))
    node = only(assigned(net.builder.outputs(y=y)))
    assert node.op.name == "cpu.conv2d"
    assert (node["activation"], node["activation_parameters"]) == ("clip", (0.0, 6.0))
    assert node.operands[3].name == "x"


def test_an_activation_that_the_op_applies_itself_is_taken_over():
    net = Net()
    node = only(assigned(net.builder.outputs(y=net.convolution(activation="hard_swish"))))
    assert node["activation"] == "hard_swish"


def test_depthwise_and_grouped_convolutions():
    net = Net()
    depthwise = net.convolution(groups=4)
    grouped = net.convolution(groups=2)
    multiplied = net.convolution(groups=4, out=8)
    graph = assigned(net.builder.outputs(a=depthwise, b=grouped, c=multiplied))
    assert ops(graph) == ["cpu.depthwise_conv2d", "cpu.conv2d", "cpu.conv2d"]


def test_a_value_used_twice_is_kept():
    net = Net()
    y = net.convolution()
    graph = assigned(net.builder.outputs(y=net.nn.relu(y), raw=y))
    assert ops(graph) == ["cpu.conv2d", "nn.relu"]


def test_adding_a_value_to_itself_is_no_residual():
    net = Net()
    y = net.convolution()
    assert ops(assigned(net.builder.outputs(y=net.nn.add(y, y)))) == ["cpu.conv2d", "nn.add"]


def test_a_residual_that_broadcasts_stays_an_addition():
    net = Net()
    other = net.builder.input("other", (1, 1, 1, 4))
    y = net.nn.add(net.convolution(), other)
    assert ops(assigned(net.builder.outputs(y=y))) == ["cpu.conv2d", "nn.add"]


def test_a_residual_computed_later_is_waited_for():
    net = Net()
    y = net.convolution()
    later = net.nn.exp(net.x)
    graph = assigned(net.builder.outputs(y=net.nn.add(y, later)))
    assert ops(graph) == ["nn.exp", "cpu.conv2d"]


def test_the_whole_of_a_small_network():
    net = Net()
    y = net.nn.squeeze_excite(net.convolution(), *(net.weight(*s) for s in ((4, 2), (2,), (2, 4), (4,))))
    y = net.nn.max_pool2d(net.nn.average_pool2d(y, kernel=(2, 2)), kernel=(2, 2))
    y = net.nn.flatten(net.nn.global_average_pool(y))
    y = net.nn.softmax(net.nn.add(net.nn.matmul(y, net.weight(4, 3)), net.weight(3)))
    graph = assigned(net.builder.outputs(y=y))
    pools = ["cpu.average_pool2d", "cpu.max_pool2d", "cpu.global_average_pool"]
    excited = ["cpu.conv2d", "cpu.squeeze_excite_gate", "nn.mul"]
    assert ops(graph) == [*excited, *pools, "nn.flatten", "cpu.linear", "cpu.softmax"]
    assert assigned(graph) is graph


def _excitation(net: Net):
    return net.weight(2), net.weight(2, 4), net.weight(4)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda n: n.nn.conv2d(n.x, n.builder.input("w", (1, 1, 4, 2))), "weights are computed"),
        (lambda n: n.nn.conv2d(n.x, n.weight(1, 13, 4, 2), padding=(0, 6, 0, 6)), "wider than 11"),
        (lambda n: n.nn.squeeze_excite(n.x, n.builder.input("w", (4, 2)), *_excitation(n)), "weights are computed"),
        (lambda n: n.nn.max_pool2d(n.x, kernel=(2, 2), dilation=(2, 2)), "dilated"),
        (lambda n: n.nn.matmul(n.x, n.builder.input("w", (4, 2))), "no constant matrix"),
        (lambda n: n.nn.global_average_pool(n.builder.input("h", (1, 2, 2, 4), DType.F16)), "compute in f32"),
        (lambda n: n.nn.log_softmax(n.x), "no kernel for nn.log_softmax"),
        (lambda n: n.nn.softmax(n.x, axis=1), "not along the last axis"),
    ],
)
def test_what_gets_no_kernel_says_why(make, reason):
    net = Net()
    graph = net.builder.outputs(y=make(net))
    assert assigned(graph) is graph
    (placement,) = placement_table(graph, parse_target("cpu"))
    assert placement.kernel == "tvm"
    assert reason in placement.reason


def test_the_placement_table_has_a_row_for_every_node():
    net = Net()
    y = net.nn.flatten(net.nn.log_softmax(net.convolution()))
    graph = assigned(net.builder.outputs(y=y))
    rows = placement_table(graph, parse_target("cpu"))
    assert [row.kernel for row in rows[1:]] == ["tvm", "none"]
    assert rows[0].kernel not in ("tvm", "none")
    assert "default: no measurement" in rows[0].reason
    assert all(row.unit == "cpu" and row.reason for row in rows)


def test_another_target_is_refused():
    net = Net()
    with pytest.raises(UsageError, match="unknown target"):
        run_pipeline(net.builder.outputs(y=net.x), "assign-kernels{target=abacus}")
