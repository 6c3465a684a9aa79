"""Each float op between dequantize and quantize becomes its integer op, and gives the same up to one step."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nascompiler.ir import OPS, Builder, DType, Graph, evaluate, verify
from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.passes import PassContext
from nascompiler.passes.fake_quantization_to_integer import FakeQuantizationToInteger

RESULT_SCALES = {DType.I8: (0.04, -3), DType.U8: (0.04, 120), DType.I16: (2e-4, 0)}
OPERAND_SCALES = {DType.I8: (0.02, 5), DType.U8: (0.02, 128), DType.I16: (1e-4, 0)}


class Sandwich:
    """Float ops between dequantize and quantize."""

    def __init__(self, dtype: DType = DType.I8) -> None:
        self.dtype = dtype
        self.random = np.random.default_rng(3)
        self.builder = Builder()
        self.nn, self.qnn = self.builder.nn, self.builder.qnn

    def input(self, *shape: int, scale: float | None = None, name: str = "x"):
        own, zero_point = OPERAND_SCALES[self.dtype]
        x = self.builder.input(name, shape)
        return self.restored(x, scale or own, zero_point)

    def restored(self, x, scale: float, zero_point: int):
        q = self.qnn.quantize(x, scale=scale, zero_point=zero_point, dtype=self.dtype)
        return self.qnn.dequantize(q, x_scale=scale, x_zero_point=zero_point)

    def constant(self, *shape: int):
        return self.builder.constant(self.random.standard_normal(shape).astype(np.float32))

    def weight(self, *shape: int, per_channel: bool = True):
        scales = self.builder.constant(
            self.random.uniform(0.01, 0.03, shape[-1] if per_channel else 1).astype(np.float32)
        )
        axis = len(shape) - 1
        integers = self.qnn.quantize_per_axis(self.constant(*shape), scales, axis=axis)
        return self.qnn.dequantize_per_axis(integers, scales, axis=axis)

    def graph(self, *values, scale: float | None = None) -> Graph:
        own, zero_point = RESULT_SCALES[self.dtype]
        ends = [self.restored(v, scale or own, zero_point) for v in values]
        graph = self.builder.outputs(**{f"y{i}": v for i, v in enumerate(ends)})
        verify(graph)
        return graph


def integers_of(graph: Graph) -> tuple[Graph, list[tuple[str, str, str]]]:
    """The graph with integer ops, and the misses."""
    copy, context = graph.clone(), PassContext()
    FakeQuantizationToInteger().run(copy, context)
    verify(copy)
    return copy, [miss for miss in context.misses if miss[0] == "dequantize, op, quantize = integer op"]


def names(graph: Graph) -> Counter[str]:
    return Counter(n.op.name for n in graph.nodes)


def inputs(graph: Graph) -> dict[str, np.ndarray]:
    random = np.random.default_rng(8)
    return {v.name: random.uniform(-2.5, 2.5, v.type.static_shape).astype(np.float32) for v in graph.inputs}


def steps_apart(graph: Graph, other: Graph, step: float) -> float:
    given = inputs(graph)
    a, b = evaluate(graph, given), evaluate(other, given)
    return max(float(np.abs(a[k] - b[k]).max()) / step for k in a)


OPS_BETWEEN = {
    "conv2d": lambda s: s.nn.conv2d(s.input(2, 6, 5, 4), s.weight(3, 3, 4, 6), s.constant(6), padding=(1, 1, 1, 1)),
    "no bias": lambda s: s.nn.conv2d(s.input(1, 6, 5, 4), s.weight(3, 3, 4, 6), strides=(2, 1)),
    "one scale": lambda s: s.nn.conv2d(s.input(1, 6, 5, 4), s.weight(1, 1, 4, 6, per_channel=False), s.constant(6)),
    "grouped": lambda s: s.nn.conv2d(s.input(1, 6, 5, 4), s.weight(3, 3, 2, 6), s.constant(6), groups=2),
    "depthwise": lambda s: s.nn.conv2d(
        s.input(1, 6, 5, 4), s.weight(3, 3, 1, 4), s.constant(4), groups=4, padding=(2, 1, 0, 1), dilation=(1, 2)
    ),
    "relu": lambda s: s.nn.relu(s.nn.conv2d(s.input(1, 6, 5, 4), s.weight(1, 1, 4, 6), s.constant(6))),
    "relu6": lambda s: s.nn.relu6(s.nn.conv2d(s.input(1, 6, 5, 4), s.weight(1, 1, 4, 6), s.constant(6))),
    "hard_swish": lambda s: s.nn.hard_swish(s.nn.conv2d(s.input(1, 6, 5, 4), s.weight(1, 1, 4, 6), s.constant(6))),
    "hard_sigmoid": lambda s: s.nn.hard_sigmoid(s.nn.linear(s.input(3, 4), s.weight(4, 6), s.constant(6))),
    "transposed": lambda s: s.nn.conv2d_transpose(
        s.input(1, 3, 4, 4), s.weight(2, 2, 4, 3), s.constant(3), strides=(2, 2), output_padding=(1, 0)
    ),
    "transposed groups": lambda s: s.nn.conv2d_transpose(
        s.input(1, 3, 4, 4), s.weight(2, 2, 4, 3), s.constant(6), groups=2
    ),
    "linear": lambda s: s.nn.linear(s.input(3, 4), s.weight(4, 6), s.constant(6)),
    "matmul": lambda s: s.nn.matmul(s.input(2, 3, 4), s.input(2, 4, 5, scale=0.03, name="z")),
    "add": lambda s: s.nn.add(s.input(2, 3, 4), s.input(1, 3, 1, scale=0.011, name="z")),
    "add relu": lambda s: s.nn.relu(s.nn.add(s.input(2, 3, 4), s.input(2, 3, 4, scale=0.011, name="z"))),
    "add constant": lambda s: s.nn.add(s.input(2, 4), s.restored(s.constant(4), 0.02, OPERAND_SCALES[s.dtype][1])),
    "twice": lambda s: (lambda x: s.nn.add(x, x))(s.input(2, 3, 4)),
    "mul": lambda s: s.nn.mul(s.input(2, 3, 4), s.input(2, 1, 4, scale=0.011, name="z")),
    "mul relu6": lambda s: s.nn.relu6(s.nn.mul(s.input(2, 3, 4), s.input(2, 1, 4, scale=0.011, name="z"))),
    "average": lambda s: s.nn.average_pool2d(s.input(1, 6, 6, 3), kernel=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1)),
    "global average": lambda s: s.nn.global_average_pool(s.input(2, 5, 7, 3)),
    "linear resize": lambda s: s.nn.resize(s.input(1, 3, 4, 2), size=(5, 9), mode="linear"),
    "sigmoid": lambda s: s.nn.sigmoid(s.input(2, 9)),
    "hard_sigmoid of another slope": lambda s: s.nn.hard_sigmoid(s.input(2, 9), alpha=0.2, beta=0.5),
    "leaky": lambda s: s.nn.leaky_relu(s.input(2, 9), alpha=0.1),
    "clip": lambda s: s.nn.clip(s.input(2, 9), min=-1, max=0.5),
}


@pytest.mark.parametrize("dtype", [DType.I8, DType.U8, DType.I16], ids=str)
@pytest.mark.parametrize("name", OPS_BETWEEN)
def test_within_one_step(name, dtype):
    s = Sandwich(dtype)
    graph = s.graph(OPS_BETWEEN[name](s))
    result, misses = integers_of(graph)
    if (name, dtype) == ("matmul", DType.I16):
        assert "its accumulators may reach 4294967296, beyond 32 bits" in misses[0]
        return
    assert misses == []
    assert not [n for n in result.nodes if n.op.dialect == "nn"], str(result)
    assert names(result)["qnn.dequantize"] == 1  # of the result
    assert steps_apart(graph, result, RESULT_SCALES[dtype][0]) <= 1.001


PASSIVE = {
    "max_pool2d": lambda s, x: s.nn.max_pool2d(x, kernel=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1)),
    "global_max_pool": lambda s, x: s.nn.global_max_pool(x),
    "reshape": lambda s, x: s.nn.reshape(x, shape=(6, -1)),
    "transpose": lambda s, x: s.nn.transpose(x, permutation=(0, 3, 1, 2)),
    "slice": lambda s, x: s.nn.slice(x, axes=(1, 3), starts=(1, 0), ends=(4, 2), steps=(2, 1)),
    "pad": lambda s, x: s.nn.pad(x, before=(0, 1, 2, 0), after=(0, 0, 1, 1)),
    "concat": lambda s, x: s.nn.concat(x, x, axis=3),
    "nearest": lambda s, x: s.nn.resize(x, size=(8, 3), mode="nearest"),
    "flatten": lambda s, x: s.nn.flatten(x),
    "depth_to_space": lambda s, x: s.nn.depth_to_space(x, block=2),
    "expand": lambda s, x: s.nn.expand(x, shape=(3, 6, 5, 4)),
}


@pytest.mark.parametrize("dtype", [DType.I8, DType.U8, DType.I16], ids=str)
@pytest.mark.parametrize("name", PASSIVE)
def test_what_only_moves_numbers_stays_and_loses_nothing(name, dtype):
    s = Sandwich(dtype)
    scale, zero_point = OPERAND_SCALES[dtype]
    y = PASSIVE[name](s, s.input(1, 6, 5, 4))
    graph = s.builder.outputs(y=s.restored(y, scale, zero_point))
    result, misses = integers_of(graph)
    assert misses == []
    assert names(result).keys() == {"qnn.quantize", y.producer.op.name, "qnn.dequantize"}
    assert all(v.type.dtype is dtype for n in result.nodes if n.op.dialect == "nn" for v in (*n.operands, *n.results))
    assert steps_apart(graph, result, scale) == 0


@pytest.mark.parametrize("dtype", [DType.I8, DType.U8], ids=str)
def test_parts_of_a_concat_at_other_scales_are_brought_to_its_own(dtype):
    s = Sandwich(dtype)
    parts = [s.input(1, 2, 2, 3), s.input(1, 2, 2, 2, scale=0.031, name="z")]
    graph = s.graph(s.nn.concat(*parts, axis=3))
    result, misses = integers_of(graph)
    assert misses == []
    assert names(result)["qnn.requantize"] == 2
    assert steps_apart(graph, result, RESULT_SCALES[dtype][0]) <= 1.001


def test_a_split_has_a_scale_for_all_of_it():
    s = Sandwich()
    x = s.input(1, 2, 2, 5)
    graph = s.graph(*s.nn.split(x, axis=3, sizes=(2, 3)), scale=0.02)
    result, misses = integers_of(graph)
    assert misses == []
    assert names(result)["qnn.requantize"] == 2  # other zero points
    assert steps_apart(graph, result, 0.02) <= 1.001


def test_sums_without_a_quantize_behind_them_give_float():
    s = Sandwich()
    y = s.nn.hard_swish(s.nn.conv2d(s.input(1, 4, 4, 3), s.weight(1, 1, 3, 2), s.constant(2)))
    z = s.nn.matmul(s.input(2, 3, name="a"), s.input(3, 2, name="b"))
    graph = s.builder.outputs(y=y, z=z)
    result, misses = integers_of(graph)
    assert misses == []
    assert [n["dtype"] for n in result.nodes if n.op.name in ("qnn.conv2d", "qnn.matmul")] == [DType.F32, DType.F32]
    assert next(n for n in result.nodes if n.op.name == "qnn.conv2d")["activation"] == "hard_swish"
    given = inputs(graph)
    for name, exact in evaluate(graph, given).items():
        np.testing.assert_allclose(evaluate(result, given)[name], exact, rtol=1e-5, atol=0.011)  # the rounded bias


def test_biases_are_integers_at_the_scale_of_the_products():
    s = Sandwich()
    bias = s.constant(6)
    weight = s.weight(4, 6)
    graph = s.graph(s.nn.linear(s.input(3, 4), weight, bias))
    (linear,) = [n for n in integers_of(graph)[0].nodes if n.op.name == "qnn.linear"]
    scale = linear.operands[2].array * np.float32(0.02)
    np.testing.assert_array_equal(linear.operands[3].array, np.rint(bias.array / scale.astype(np.float64)))
    assert linear.operands[3].array.dtype == np.int32


def test_integers_move_and_are_dequantised_behind():
    s = Sandwich()
    graph = s.graph(s.nn.neg(s.nn.reshape(s.input(2, 3), shape=(6,))))
    result, _ = integers_of(graph)
    (reshape,) = [n for n in result.nodes if n.op.name == "nn.reshape"]
    assert reshape.result.type.dtype is DType.I8
    assert steps_apart(graph, result, 0.04) <= 1.001  # of the table of neg


@pytest.mark.parametrize("activation", ["hard_swish", "hard_sigmoid", "relu"])
def test_a_float_sum_takes_the_activation_and_the_quantize_behind_it(activation):
    s = Sandwich()
    whole, _ = integers_of(s.graph(s.builder.op(f"nn.{activation}", s.nn.linear(s.input(3, 4), s.weight(4, 6)))))
    (linear,) = [n for n in whole.nodes if n.op.name == "qnn.linear"]
    apart = whole.clone()
    (node,) = [n for n in apart.nodes if n.op.name == "qnn.linear"]
    builder = Builder(apart, before=node)
    float_sum = builder.qnn.linear(
        *node.operands, x_scale=node["x_scale"], x_zero_point=node["x_zero_point"], dtype=DType.F32
    )
    gate = builder.op(f"nn.{activation}", float_sum)
    apart.replace_all_uses(
        node.result, builder.qnn.quantize(gate, scale=node["scale"], zero_point=node["zero_point"], dtype=node["dtype"])
    )
    apart.erase(node)
    together, _ = integers_of(apart)
    (made,) = [n for n in together.nodes if n.op.name == "qnn.linear"]
    assert made.attributes == linear.attributes


REASONS = {
    "its operand is not quantised": lambda s: s.nn.conv2d(
        s.nn.conv2d(s.input(1, 2, 2, 3), s.constant(1, 1, 3, 3)), s.weight(1, 1, 3, 2)
    ),
    "its weights are not quantised": lambda s: s.nn.linear(s.input(2, 3), s.constant(3, 2)),
    "an operand is not quantised": lambda s: s.nn.add(s.input(2, 3), s.builder.input("z", (2, 3))),
    "its result is not quantised": lambda s: s.nn.neg(s.nn.add(s.input(2, 3), s.input(2, 3, name="z"))),
    "nn.softmax has no integer form": lambda s: s.nn.softmax(s.input(2, 3)),
    "its bias is computed": lambda s: s.nn.linear(s.input(2, 3), s.weight(3, 3), s.builder.input("b", (3,))),
    "its bias does not fit 32 bits at the scale of its products": lambda s: s.nn.linear(
        s.input(2, 3), s.weight(3, 1), s.builder.constant(np.array([1e9], np.float32))
    ),
    "it pads with 1; accepted: 0": lambda s: s.nn.pad(s.input(2, 3), before=(0, 1), after=(0, 0), value=1),
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_stays_in_float_says_why(reason):
    s = Sandwich()
    graph = s.graph(REASONS[reason](s))
    result, misses = integers_of(graph)
    assert reason in [given for _, _, given in misses]
    given = inputs(graph)
    for name, exact in evaluate(graph, given).items():
        np.testing.assert_allclose(evaluate(result, given)[name], exact, atol=0.041)


def test_sixteen_bits_that_may_overflow_stay_in_float():
    s = Sandwich(DType.I16)
    scales = s.builder.constant(np.array([0.001], np.float32))  # every weight is clamped to 127 or near it
    integers = s.qnn.quantize_per_axis(s.constant(900, 1), scales, axis=1)
    weight = s.qnn.dequantize_per_axis(integers, scales, axis=1)
    _, misses = integers_of(s.graph(s.nn.linear(s.input(2, 900), weight)))
    assert len(misses) == 1
    assert "its accumulators may reach" in misses[0][2]
    assert "beyond 32 bits" in misses[0][2]


def test_weights_with_scales_along_another_axis_stay_in_float():
    s = Sandwich()
    scales = s.builder.constant(np.full(3, 0.02, np.float32))
    weight = s.qnn.dequantize_per_axis(s.qnn.quantize_per_axis(s.constant(3, 2), scales, axis=0), scales, axis=0)
    _, misses = integers_of(s.graph(s.nn.linear(s.input(2, 3), weight)))
    assert "scales along axis 0; accepted: the output channels, axis 1" in misses[0][2]


def test_weights_and_biases_of_files_are_taken_as_they_are():
    """As quantised ONNX models have them: one scale and a zero point for weights, 32-bit biases."""
    s = Sandwich(DType.U8)
    weight = s.builder.constant(s.random.integers(0, 256, (4, 3)).astype(np.uint8))
    bias = s.builder.constant(s.random.integers(-900, 900, 3).astype(np.int32))
    scales = s.builder.constant(np.full(1, np.float32(0.02) * np.float32(0.03), np.float32))
    y = s.nn.linear(
        s.input(2, 4),
        s.qnn.dequantize_per_axis(weight, s.builder.constant(np.float32([0.03])), axis=1, x_zero_point=120),
        s.qnn.dequantize_per_axis(bias, scales, axis=0),
    )
    graph = s.graph(y)
    result, misses = integers_of(graph)
    assert misses == []
    (linear,) = [n for n in result.nodes if n.op.name == "qnn.linear"]
    assert linear["weight_zero_point"] == 120
    np.testing.assert_array_equal(linear.operands[3].array, bias.array)
    assert steps_apart(graph, result, 0.04) <= 1.001


def test_tables_hold_every_integer_of_their_operand():
    s = Sandwich()
    result, _ = integers_of(s.graph(s.nn.tanh(s.input(2, 3))))
    (lookup,) = [n for n in result.nodes if n.op.name == "qnn.lookup"]
    low, high = limits(DType.I8)
    table = lookup.operands[1].array
    assert table.shape == (high - low + 1,)
    assert lookup["function"] == "nn.tanh"
    assert (np.diff(table.astype(int)) >= 0).all()
    assert OPS[lookup["function"]].name == "nn.tanh"
