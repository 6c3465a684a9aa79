"""Which transpositions of images go into the convolutions behind them."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Value
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import NumericCheck

TO_CHANNELS_LAST = (0, 2, 3, 1)


class Net:
    """Images [2, C, H, W], transposed, and convolutions."""

    def __init__(self, channels: int = 3, permutation: tuple[int, ...] = TO_CHANNELS_LAST) -> None:
        self.builder = Builder("net")
        self.generator = np.random.default_rng(0)
        x = self.builder.input("x", (2, channels, 9, 9))
        self.images = self.builder.nn.transpose(x, permutation=permutation)

    def convolution(self, kernel: int = 3, groups: int = 1) -> Value:
        channels = self.images.type.static_shape[3]
        weight = self.generator.standard_normal((kernel, kernel, channels // groups, 18)).astype(np.float32)
        result: Value = self.builder.nn.conv2d(
            self.images, self.builder.constant(weight), groups=groups, strides=(2, 2), padding=(0, 1, 1, 0)
        )
        return result

    def ops(self, **outputs: Value) -> list[str]:
        """What is assigned, checked to compute the same bit for bit."""
        graph = run_pipeline(self.builder.outputs(**outputs), "assign-kernels", instruments=[NumericCheck()])
        return [node.op.name for node in graph.nodes]


def test_into_all_convolutions_that_read_it() -> None:
    net = Net()
    assert net.ops(a=net.convolution(), b=net.convolution(kernel=2)) == ["cpu.planar_conv2d"] * 2


def test_not_where_something_else_reads_it() -> None:
    for other in (lambda net: net.images, lambda net: net.builder.nn.relu(net.images)):
        net = Net()
        assert "cpu.planar_conv2d" not in net.ops(a=net.convolution(), b=other(net))


def test_not_many_planes_nor_groups_nor_another_permutation() -> None:
    for net, groups in ((Net(channels=24), 1), (Net(channels=6), 3), (Net(9, (0, 2, 1, 3)), 1)):
        ops = net.ops(a=net.convolution(groups=groups))
        assert "cpu.planar_conv2d" not in ops
        assert "nn.transpose" in ops
