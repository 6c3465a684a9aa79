"""Where gates go: into the convolution behind, and their means into the depthwise convolution in front."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.instruments import NumericCheck

GATE, MUL, POOLED, GATED = "cpu.squeeze_excite_gate", "nn.mul", "cpu.depthwise_conv2d_pooled", "cpu.gated_conv2d"


class Net:
    """A builder with random constants."""

    def __init__(self, *shape: int) -> None:
        self.builder = Builder("net")
        self.nn = self.builder.nn
        self.generator = np.random.default_rng(0)
        self.x = self.builder.input("x", shape)

    def weight(self, *shape: int):
        return self.builder.constant(self.generator.standard_normal(shape).astype(np.float32))

    def squeeze_excite(self, x, squeezed=4):
        channels = x.type.static_shape[3]
        shapes = ((channels, squeezed), (squeezed,), (squeezed, channels), (channels,))
        return self.nn.squeeze_excite(x, *(self.weight(*shape) for shape in shapes))

    def depthwise(self, x):
        channels = x.type.static_shape[3]
        return self.nn.conv2d(
            x, self.weight(3, 3, 1, channels), self.weight(channels), padding=(1, 1, 1, 1), groups=channels
        )

    def pointwise(self, x, out=8, **how):
        return self.nn.conv2d(x, self.weight(1, 1, x.type.static_shape[3], out), self.weight(out), **how)

    def ops(self, **outputs) -> list[str]:
        """What is assigned, checked to compute the same bit for bit."""
        graph: Graph = run_pipeline(self.builder.outputs(**outputs), "assign-kernels", instruments=[NumericCheck()])
        return [node.op.name for node in graph.nodes]


def test_between_a_depthwise_and_a_pointwise_convolution_nothing_passes_over_the_image():
    net = Net(2, 6, 6, 32)
    x = net.squeeze_excite(net.nn.hard_swish(net.depthwise(net.x)))
    y = net.nn.add(net.pointwise(x, out=32), net.x)
    assert net.ops(y=y) == [POOLED, GATE, GATED]


def test_a_depthwise_result_that_others_read_too_is_pooled_all_the_same():
    net = Net(1, 6, 6, 32)
    x = net.depthwise(net.x)
    assert net.ops(y=net.squeeze_excite(x), x=x) == [POOLED, GATE, MUL]


def test_a_product_that_others_read_too_is_kept():
    net = Net(1, 6, 6, 32)
    x = net.squeeze_excite(net.x)
    assert net.ops(y=net.pointwise(x), x=x) == [GATE, MUL, "cpu.conv2d"]


def test_any_factor_for_each_channel_is_a_gate():
    net = Net(1, 6, 6, 32)
    factor = net.builder.input("factor", (1, 1, 1, 32))
    assert net.ops(y=net.pointwise(net.nn.mul(factor, net.x))) == [GATED]


@pytest.mark.parametrize(
    ("shape", "factor", "how"),
    [
        ((1, 6, 6, 32), (1, 6, 6, 32), {}),
        ((2, 6, 6, 32), (1, 1, 1, 32), {}),
        ((1, 6, 6, 32), (1, 1, 1, 32), {"strides": (2, 2)}),
        ((1, 6, 6, 3), (1, 1, 1, 3), {}),
        ((1, 2, 2, 32), (1, 1, 1, 32), {}),
    ],
    ids=["for every pixel", "for all images", "strided", "less than a vector", "few pixels"],
)
def test_other_products_stay(shape, factor, how):
    net = Net(*shape)
    product = net.nn.mul(net.x, net.builder.input("factor", factor))
    assert net.ops(y=net.pointwise(product, **how)) == [MUL, "cpu.conv2d"]
