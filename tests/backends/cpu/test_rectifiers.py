"""Which rectifiers go into the convolutions behind them."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import NumericCheck

RECTIFIED = {"never": "cpu.rectified_depthwise_conv2d", "always": "cpu.rectified_separable_conv2d"}


class Net:
    """relu(x), and separable convolutions."""

    def __init__(self) -> None:
        self.builder = Builder("net")
        self.generator = np.random.default_rng(0)
        self.x = self.builder.input("x", (1, 6, 7, 16))
        self.relu = self.builder.nn.relu(self.x)

    def weight(self, *shape: int):
        return self.builder.constant(self.generator.standard_normal(shape).astype(np.float32))

    def separable(self, x, stride=1):
        nn = self.builder.nn
        strides = (stride, stride)
        y = nn.conv2d(x, self.weight(3, 3, 1, 16), groups=16, padding=(1, 1, 1, 1), strides=strides)
        return nn.conv2d(y, self.weight(1, 1, 16, 24))

    def ops(self, fuse, **outputs) -> list[str]:
        """What is assigned, checked to compute the same bit for bit."""
        graph: Graph = self.builder.outputs(**outputs)
        graph = run_pipeline(graph, f"assign-kernels{{fuse={fuse}}}", instruments=[NumericCheck()])
        return [node.op.name for node in graph.nodes]


@pytest.mark.parametrize("fuse", RECTIFIED)
def test_into_all_convolutions_that_read_it(fuse):
    net = Net()
    ops = net.ops(fuse, a=net.separable(net.relu), b=net.separable(net.relu, stride=2))
    assert ops.count(RECTIFIED[fuse]) == 2
    assert "nn.relu" not in ops


@pytest.mark.parametrize("fuse", RECTIFIED)
def test_not_where_something_else_reads_it(fuse):
    net = Net()
    y = net.builder.nn.concat(net.relu, net.relu, axis=3)
    for others in ({"b": net.relu}, {"b": y}):
        ops = net.ops(fuse, a=net.separable(net.relu), **others)
        assert "nn.relu" in ops
        assert RECTIFIED[fuse] not in ops
