"""Costs against counts by hand."""

import numpy as np
import pytest

from nascompiler.ir import Builder, DType, graph_cost, node_cost
from nascompiler.ir.cost import parameters


def ones(*shape):
    return np.random.default_rng(len(shape)).random(shape, np.float32)


def only(builder, value):
    graph = builder.outputs(y=value)
    return graph_cost(graph)


@pytest.fixture
def builder():
    return Builder()


def test_convolution(builder):
    x = builder.input("x", (2, 8, 8, 16))
    y = builder.nn.conv2d(
        x, builder.constant(ones(3, 3, 16, 32)), builder.constant(ones(32)), strides=(2, 2), padding=(1, 1, 1, 1)
    )
    cost = only(builder, y)
    assert cost.params == 3 * 3 * 16 * 32 + 32
    assert cost.macs == 2 * 4 * 4 * 32 * 3 * 3 * 16
    assert cost.bytes == 4 * (2 * 8 * 8 * 16 + 3 * 3 * 16 * 32 + 32 + 2 * 4 * 4 * 32)


def test_depthwise_and_grouped_convolution(builder):
    x = builder.input("x", (1, 8, 8, 16))
    depthwise = builder.nn.conv2d(x, builder.constant(ones(5, 5, 1, 16)), padding=(2, 2, 2, 2), groups=16)
    grouped = builder.nn.conv2d(x, builder.constant(ones(1, 1, 4, 8)), groups=4)
    assert node_cost(depthwise.producer).macs == 8 * 8 * 16 * 25
    assert node_cost(grouped.producer).macs == 8 * 8 * 8 * 4


def test_transposed_convolution(builder):
    x = builder.input("x", (1, 4, 4, 6))
    y = builder.nn.conv2d_transpose(x, builder.constant(ones(2, 2, 6, 3)), strides=(2, 2))
    assert only(builder, y).macs == 4 * 4 * 6 * 3 * 2 * 2


def test_products(builder):
    linear = builder.nn.linear(builder.input("x", (2, 3, 10)), builder.constant(ones(10, 5)))
    matmul = builder.nn.matmul(builder.input("a", (4, 2, 3)), builder.input("b", (3, 7)))
    assert node_cost(linear.producer).macs == 2 * 3 * 5 * 10
    assert node_cost(matmul.producer).macs == 4 * 2 * 7 * 3


def test_batch_norm_counts_scale_and_shift_only(builder):
    x = builder.input("x", (1, 4, 4, 8))
    y = builder.nn.batch_norm(x, *(builder.constant(ones(8) * (i + 1)) for i in range(4)))
    cost = only(builder, y)
    assert cost.params == 16
    assert cost.macs == 0


def test_squeeze_excite(builder):
    x = builder.input("x", (2, 7, 7, 32))
    weights = [ones(32, 8), ones(8), ones(8, 32), ones(32)]
    y = builder.nn.squeeze_excite(x, *map(builder.constant, weights))
    cost = only(builder, y)
    assert cost.params == 32 * 8 + 8 + 8 * 32 + 32
    assert cost.macs == 2 * (32 * 8 + 8 * 32)


def test_lstm_cell(builder):
    x, h, c = (builder.input(n, shape) for n, shape in (("x", (3, 10)), ("h", (3, 4)), ("c", (3, 4))))
    h, _ = builder.nn.lstm_cell(x, h, c, *map(builder.constant, (ones(10, 16), ones(4, 16), ones(16))))
    cost = only(builder, h)
    assert cost.params == 10 * 16 + 4 * 16 + 16
    assert cost.macs == 3 * 16 * (10 + 4)


def test_shared_weights_count_once(builder):
    weight = builder.constant(ones(4, 4))
    x = builder.input("x", (1, 4))
    cost = only(builder, builder.nn.linear(builder.nn.linear(x, weight), weight))
    assert (cost.params, cost.macs) == (16, 32)


def test_what_is_a_parameter(builder):
    x = builder.input("x", (1, 4))
    three, one = builder.constant(np.float32([3])), builder.constant(np.float32([1]))
    scale = builder.constant(ones(4))
    y = builder.nn.mul(builder.nn.add(x, three), scale)  # a number in arithmetic is none, a scale of channels is
    y = builder.nn.linear(y, builder.constant(ones(4, 1)), one)  # a bias of one channel is
    y = builder.nn.prelu(y, builder.constant(np.float32([0.25])))  # so is a slope
    y = builder.nn.reshape(
        builder.nn.gather(builder.constant(ones(10, 2)), builder.constant(np.int64([1, 2]))), shape=(4,)
    )
    graph = builder.outputs(y=y)
    assert sum(v.type.size for v in parameters(graph)) == 4 + 4 + 1 + 1 + 20


def test_open_sizes_leave_macs_open_but_not_params(builder):
    x = builder.input("x", ("N", 4))
    y = builder.nn.relu(builder.nn.linear(x, builder.constant(ones(4, 2))))
    cost = only(builder, y)
    assert (cost.params, cost.macs, cost.bytes) == (8, None, None)
    assert node_cost(y.producer).macs == 0


def test_a_value_read_twice_moves_once(builder):
    x = builder.input("x", (10,))
    assert only(builder, builder.nn.add(x, x)).bytes == 80


def test_totals_are_sums(builder):
    x = builder.input("x", (1, 8, 8, 3))
    for _ in range(3):
        x = builder.nn.relu(builder.nn.conv2d(x, builder.constant(ones(1, 1, 3, 3) + len(builder.graph))))
    cost = only(builder, x)
    nodes = [node_cost(node) for node in builder.graph.nodes]
    assert cost.macs == sum(n.macs for n in nodes) == 3 * 8 * 8 * 9
    assert cost.bytes == sum(n.bytes for n in nodes)
    assert cost.params == 27


def test_quantised_weights_and_biases_are_parameters_scales_are_not():
    builder = Builder("g")
    x = builder.qnn.quantize(builder.input("x", (1, 4)), scale=0.1)
    weight, bias = np.ones((4, 3), np.int8), np.ones(3, np.int32)
    scale = builder.constant(np.ones(3, np.float32))
    y = builder.qnn.linear(x, builder.constant(weight), scale, builder.constant(bias), x_scale=0.1, dtype=DType.F32)
    assert sum(v.type.size for v in parameters(builder.outputs(y=y))) == 12 + 3
