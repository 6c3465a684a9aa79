"""Which blocks of pointwise and depthwise convolutions go into one kernel."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.ir import Graph, UsageError
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Node
from nascompiler.passes import Pipeline, run_pipeline
from nascompiler.passes.infrastructure.instruments import NumericCheck


class Net:
    """A builder with random constants."""

    def __init__(self, *shape: int) -> None:
        self.builder = Builder("net")
        self.nn = self.builder.nn
        self.generator = np.random.default_rng(0)
        self.x = self.builder.input("x", shape)

    def weight(self, *shape: int):
        return self.builder.constant(self.generator.standard_normal(shape).astype(np.float32))

    def depthwise(self, x, kernel=3, **how):
        channels = x.type.static_shape[3]
        edge = kernel // 2
        weights = self.weight(kernel, kernel, 1, channels), self.weight(channels)
        return self.nn.conv2d(x, *weights, padding=(edge,) * 4, groups=channels, **how)

    def pointwise(self, x, out):
        return self.nn.conv2d(x, self.weight(1, 1, x.type.static_shape[3], out), self.weight(out))

    def nodes(self, when="always", **outputs) -> list[Node]:
        """What is assigned, checked to compute the same bit for bit."""
        graph: Graph = run_pipeline(
            self.builder.outputs(**outputs), f"assign-kernels{{fuse={when}}}", instruments=[NumericCheck()]
        )
        return list(graph.nodes)


def names(nodes: list[Node]) -> list[str]:
    return [node.op.name.removeprefix("cpu.") for node in nodes]


def test_an_inverted_residual_is_one_call():
    net = Net(1, 8, 8, 16)
    y = net.nn.hard_swish(net.depthwise(net.nn.relu6(net.pointwise(net.x, 48)), kernel=5))
    (node,) = net.nodes(y=net.nn.add(net.pointwise(y, 16), net.x))
    assert node.op.name == "cpu.inverted_residual"
    assert (node["expand_activation"], node["expand_activation_parameters"]) == ("clip", (0.0, 6.0))
    assert (node["depthwise_activation"], node["activation"]) == ("hard_swish", "none")
    assert node.operands[7].name == "x"


def test_a_depthwise_convolution_and_the_pointwise_one_behind_it_are_one_call():
    net = Net(2, 9, 7, 16)
    (node,) = net.nodes(y=net.nn.relu(net.pointwise(net.nn.relu6(net.depthwise(net.x, strides=(2, 2))), 24)))
    assert node.op.name == "cpu.separable_conv2d"
    assert (node["strides"], node["activation"]) == ((2, 2), "relu")


def test_pairs_one_after_the_other_stay_pairs():
    net = Net(1, 8, 8, 16)
    y = net.pointwise(net.depthwise(net.pointwise(net.depthwise(net.x), 32)), 16)
    assert names(net.nodes(y=y)) == ["separable_conv2d", "separable_conv2d"]


def test_an_expansion_that_others_read_is_kept():
    net = Net(1, 8, 8, 16)
    expanded = net.pointwise(net.x, 32)
    nodes = net.nodes(y=net.pointwise(net.depthwise(expanded), 16), expanded=expanded)
    assert names(nodes) == ["conv2d", "separable_conv2d"]


@pytest.mark.parametrize(
    "make",
    [
        lambda net: net.depthwise(net.pointwise(net.x, 16), kernel=2),
        lambda net: net.depthwise(net.x, dilation=(2, 2)),
        lambda net: net.depthwise(net.pointwise(net.x, 16), strides=(1, 2)),
        lambda net: net.nn.add(net.depthwise(net.x), net.builder.input("other", (1, 8, 8, 16))),
    ],
    ids=["even kernel", "dilation", "two strides", "residual inside"],
)
def test_what_no_kernel_computes_stays_apart(make):
    net = Net(1, 8, 8, 16)
    assert names(net.nodes(y=net.pointwise(make(net), 8)))[-2:] == ["depthwise_conv2d", "conv2d"]


@pytest.mark.parametrize(("when", "count"), [("never", 3), ("always", 1)])
def test_it_can_be_switched(when, count):
    net = Net(1, 8, 8, 16)
    y = net.pointwise(net.depthwise(net.pointwise(net.x, 32)), 16)
    assert len(net.nodes(when, y=y)) == count


def test_in_front_of_a_gate_the_expansion_and_the_means_are_one_call():
    net = Net(1, 8, 8, 16)
    y = net.nn.hard_swish(net.depthwise(net.nn.relu(net.pointwise(net.x, 48)), kernel=5))
    y = net.nn.squeeze_excite(y, *(net.weight(*shape) for shape in ((48, 4), (4,), (4, 48), (48,))))
    nodes = net.nodes(y=net.pointwise(y, 16))
    assert names(nodes) == ["expanded_depthwise_conv2d_pooled", "squeeze_excite_gate", "gated_conv2d"]
    assert (nodes[0]["expand_activation"], nodes[0]["activation"]) == ("relu", "hard_swish")


@pytest.mark.parametrize(("size", "channels", "count"), [(8, 16, 3), (1 << 9, 16, 1), (4, 1 << 17, 3)])
def test_by_itself_it_fuses_around_an_image_that_fills_the_cache_when_the_weights_do_not(size, channels, count):
    net = Net(1, size, size, 8)
    y = net.pointwise(net.depthwise(net.pointwise(net.x, channels)), 8)
    assert len(net.nodes("auto", y=y)) == count


def test_an_unknown_choice_is_refused():
    with pytest.raises(UsageError, match="accepted: auto, never or always"):
        Pipeline.parse("assign-kernels{fuse=sometimes}")
