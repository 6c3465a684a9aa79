"""Random convolutional networks, and evaluation with channels masked: what removing channels is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nascompiler.ir import Array, Builder, DType, Graph, Value
from nascompiler.ir.channels import ChannelStructure
from nascompiler.ir.evaluate import evaluate_node

ACTIVATIONS = ("relu", "relu6", "hard_swish", "swish", "sigmoid", "tanh", "hard_sigmoid", "elu", "leaky_relu")


class NetworkBuilder:
    """Layers with random weights (in double precision, so that only wrong channels make a difference)."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.builder = Builder(f"random{seed}")
        self.nn = self.builder.nn

    def input(self, *shape: int, name: str = "x") -> Value:
        return self.builder.input(name, shape, DType.F64)

    def weight(self, *shape: int) -> Value:
        return self.builder.constant(self.random.standard_normal(shape) / max(1, np.prod(shape[:-1])) ** 0.5)

    def positive(self, *shape: int) -> Value:
        return self.builder.constant(self.random.uniform(0.5, 1.5, shape))

    def shape(self, x: Value) -> tuple[int, ...]:
        return x.type.static_shape

    def choose(self, *options: Any) -> Any:
        return options[self.random.integers(len(options))]

    def activation(self, x: Value) -> Value:
        return self.builder.op(f"nn.{self.choose(*ACTIVATIONS)}", x)

    def conv(self, x: Value, features: int, *, kernel: int = 1, groups: int = 1, **attributes: Any) -> Value:
        weight = self.weight(kernel, kernel, self.shape(x)[3] // groups, features)
        bias = self.weight(features) if self.random.random() < 0.5 else None
        pad = kernel // 2
        return self.nn.conv2d(x, weight, bias, padding=(pad,) * 4, groups=groups, **attributes)

    def batch_norm(self, x: Value) -> Value:
        c = self.shape(x)[-1]
        return self.nn.batch_norm(x, self.positive(c), self.weight(c), self.weight(c), self.positive(c))

    def linear(self, x: Value, features: int) -> Value:
        return self.nn.linear(x, self.weight(width(x), features), self.weight(features))

    def outputs(self, **outputs: Value) -> Graph:
        return self.builder.outputs(**outputs)


def width(x: Value) -> int:
    """The size of the last axis."""
    assert x.type.shape is not None
    size = x.type.shape[-1]
    assert isinstance(size, int)
    return size


def random_network(seed: int, layers: int = 12) -> Graph:
    """Convolutions of all kinds, gates, residuals, concats, slices, pools and reshapes, then a classifier."""
    b = NetworkBuilder(seed)
    image = b.input(2, 6, 6, 3)
    live = [b.conv(image, 8, kernel=3)]
    for _ in range(layers):
        layer: Callable[..., Value] = b.choose(*LAYERS)
        x = live[b.random.integers(max(0, len(live) - 3), len(live))]
        made = layer(b, x, live)
        live.append(b.activation(made) if b.random.random() < 0.4 else made)
    tail = b.nn.concat(*(b.nn.global_average_pool(v) for v in live[-3:]), axis=3)
    pooled = b.nn.squeeze(tail, axes=(1, 2)) if b.random.random() < 0.5 else b.nn.flatten(tail)
    merged = [pooled, b.choose(_flatten_nhwc, _flatten_nchw)(b, live[-1])]
    hidden = [b.activation(b.linear(m, 6)) for m in merged]
    return b.outputs(scores=b.nn.softmax(b.linear(b.nn.add(*hidden), 4)))


def _plain(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    return b.activation(b.batch_norm(b.conv(x, b.choose(4, 6, 8, 12), kernel=b.choose(1, 3))))


def _depthwise(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    c, multiplier = b.shape(x)[3], b.choose(1, 1, 2)
    if c * multiplier > 32:
        return x
    return b.conv(b.conv(x, c * multiplier, kernel=3, groups=c), b.choose(4, 8))


def _grouped(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    return b.conv(x, 8, kernel=3, groups=2) if b.shape(x)[3] % 2 == 0 else x


def _shuffled(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    n, h, w, c = b.shape(x)
    if c % 4:
        return x
    x = b.conv(x, c, groups=2)
    split = b.nn.reshape(x, shape=(n, h, w, 2, c // 2))
    return b.nn.reshape(b.nn.transpose(split, permutation=(0, 1, 2, 4, 3)), shape=(n, h, -1, c))


def _excite(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    c = b.shape(x)[3]
    if b.random.random() < 0.5:
        gate = b.choose("sigmoid", "hard_sigmoid")
        return b.nn.squeeze_excite(x, b.weight(c, 4), b.weight(4), b.weight(4, c), b.weight(c), gate=gate)
    mean = b.nn.reduce_mean(x, axes=(1, 2), keepdims=False)
    scores = b.nn.sigmoid(b.linear(b.nn.relu(b.linear(mean, 4)), c))
    return b.nn.mul(x, b.nn.unsqueeze(scores, axes=(1, 2)))


def _residual(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    alike = [v for v in live if b.shape(v) == b.shape(x)]
    other = alike[b.random.integers(len(alike))]
    return b.nn.add(b.conv(x, b.shape(x)[3], kernel=3), other)


def _concat(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    alike = [v for v in live if b.shape(v)[:3] == b.shape(x)[:3]]
    picked = [alike[i] for i in b.random.integers(0, len(alike), 2)]
    joined = b.nn.concat(x, *picked, axis=-1)
    return joined if b.shape(joined)[3] <= 24 else b.conv(b.nn.relu(joined), 8)


def _slice(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    c = b.shape(x)[3]
    start = int(b.random.integers(0, c // 2))
    return b.nn.slice(x, axes=(-1,), starts=(start,), ends=(b.choose(c, c - 1, 2**31 - 1, -1),), steps=(1,))


def _split(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    c = b.shape(x)[3]
    first = max(1, c // 3)
    one, other = b.nn.split(x, axis=3, sizes=(first, c - first))
    return b.nn.concat(b.activation(other), b.conv(one, first), axis=3)


def _pixels(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    width = b.shape(x)[2]
    kind = b.choose("max", "average", "resize", "pad")
    if kind == "resize":
        return b.nn.resize(x, size=(b.choose(4, 6), width), mode="linear")
    if kind == "pad":
        return b.nn.pad(x, before=(0, 1, 0, 0), after=(0, -1, 0, 0), value=b.choose(0.0, 1.0))
    return b.builder.op(f"nn.{kind}_pool2d", x, kernel=(3, 3), padding=(1, 1, 1, 1))


def _more_channels(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    return b.nn.pad(x, before=(0, 0, 0, 1), after=(0, 0, 0, 2)) if b.shape(x)[3] < 20 else x


def _blocks(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    if any(size % 2 for size in b.shape(x)[1:3]):
        return x
    deep = b.nn.space_to_depth(x, block=2)
    return b.nn.depth_to_space(b.conv(deep, 16), block=2, mode=b.choose("DCR", "CRD"))


def _channels_first(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    c = b.shape(x)[3]
    first = b.nn.transpose(x, permutation=(0, 3, 1, 2))
    return b.nn.transpose(b.nn.prelu(first, b.weight(c, 1, 1)), permutation=(0, 2, 3, 1))


def _constants(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    c = b.shape(x)[3]
    return b.nn.add(b.nn.mul(x, b.weight(c)), b.weight(1, 1, 1, 1))


def _transposed(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    c, groups = b.shape(x)[3], b.choose(1, 2)
    if c % 2 or c > 16:
        return x
    weight = b.weight(3, 3, c, 8 // groups)
    return b.nn.conv2d_transpose(x, weight, b.weight(8), padding=(1, 1, 1, 1), groups=groups)


def _frozen(b: NetworkBuilder, x: Value, live: list[Value]) -> Value:
    return b.choose(b.nn.layer_norm, b.nn.softmax)(x)


LAYERS = (
    _plain, _plain, _depthwise, _depthwise, _grouped, _shuffled, _excite, _excite, _residual, _residual, _concat,
    _concat, _slice, _split, _pixels, _more_channels, _blocks, _channels_first, _constants, _transposed, _frozen,
)  # fmt: skip


def _flatten_nhwc(b: NetworkBuilder, x: Value) -> Value:
    return b.nn.flatten(b.nn.max_pool2d(x, kernel=(2, 2), strides=(2, 2)))


def _flatten_nchw(b: NetworkBuilder, x: Value) -> Value:
    pooled = b.nn.max_pool2d(x, kernel=(2, 2), strides=(2, 2))
    return b.nn.reshape(b.nn.transpose(pooled, permutation=(0, 3, 1, 2)), shape=(2, -1))


def random_inputs(graph: Graph, seed: int = 0) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    return {v.name: generator.standard_normal(v.type.static_shape) for v in graph.inputs}


def random_selection(structure: ChannelStructure, seed: int, share: float = 0.6) -> dict[int, list[int]]:
    """Some channels of most free groups."""
    generator = np.random.default_rng([seed, 1])
    chosen = {}
    for group in structure.free_groups:
        if generator.random() < share:
            count = int(generator.integers(1, group.length))
            chosen[group.index] = sorted(int(i) for i in generator.choice(group.length, count, replace=False))
    return chosen


def zero_points(graph: Graph) -> dict[Value, int]:
    """What stands for 0 in each value of a quantised graph."""
    found: dict[Value, int] = {}
    for node in graph.nodes:
        given = next((found[v] for v in node.operands if v in found), 0)
        for value in node.results:
            if not value.type.dtype.is_float:
                found[value] = node.attributes.get("zero_point", given)
    return found


def masked_evaluate(
    graph: Graph, structure: ChannelStructure, keep: Mapping[int, Sequence[int]], inputs: Mapping[str, Array]
) -> dict[str, Array]:
    """The outputs when the channels that are not kept are zero in every value and constant of their groups.

    In quantised values they are at the zero point.
    """
    zeros = zero_points(graph)

    def masked(value: Value, array: Array) -> Array:
        for axis, segments in structure.axes.get(value, {}).items():
            stays = np.ones(array.shape[axis], bool)
            for group in {s.group for s in segments} & keep.keys():
                gone = np.delete(structure.positions(value, group, axis), keep[group], axis=0)
                stays[gone.reshape(-1)] = False
            along = [1] * array.ndim
            along[axis] = -1
            array = np.where(stays.reshape(along), array, np.asarray(zeros.get(value, 0), array.dtype))
        return array

    values = {v: np.asarray(inputs[v.name]) for v in graph.inputs}
    for node in graph.nodes:
        operands = [masked(v, v.constant.array) if v.constant is not None else values[v] for v in node.operands]
        for value, array in zip(node.results, evaluate_node(node, operands), strict=True):
            values[value] = masked(value, array)
    return {name: values[v] for name, v in zip(graph.output_names, graph.outputs, strict=True)}
