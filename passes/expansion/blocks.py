"""Blocks of the MobileNet, MnasNet and ResNet families."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import ModelError, Node, Value
from nascompiler.passes.expansion.context import Expansion, channels_of
from nascompiler.passes.expansion.layers import pool


@dataclass(frozen=True)
class Layer:
    """One layer of a block, and what it offers besides its result."""

    result: Value
    expansion: Value | None = None
    depthwise: Value | None = None


def expand_block(expansion: Expansion, node: Node, x: Value) -> Value | tuple[Value, Value]:
    """`repeats` layers, the first with the stride, each with its skip connection (MnasNet §4.1)."""
    layer = Layer(x)
    for index in range(node["repeats"]):
        stride = node["stride"] if index == 0 else 1
        with expansion.scope(f"{index + 1}" if node["repeats"] > 1 else ""):
            source = layer.result
            layer = LAYERS[node["op"]](expansion, node, source, stride)
            layer = Layer(
                _skip(expansion, node["skip"], source, layer.result, stride), layer.expansion, layer.depthwise
            )
    if node["endpoint"] == "none":
        return layer.result
    endpoint: Value | None = getattr(layer, node["endpoint"])
    if endpoint is None:
        raise ModelError(f"endpoint is {node['endpoint']!r}, which a block of op {node['op']!r} does not have here")
    return layer.result, endpoint


def inverted_bottleneck(expansion: Expansion, node: Node, x: Value, stride: int) -> Layer:
    """1x1 expansion (none at 1), depthwise, squeeze-excite, linear 1x1 (MobileNetV2 §3.3, MobileNetV3 §5.3)."""
    expanded = expansion.family.expanded(channels_of(x), node["expansion"])
    wide = x
    if expanded > channels_of(x):
        wide = expansion.conv_bn_activation(x, expanded, node["activation"], name="expand")
    return _depthwise_and_projection(expansion, node, x, wide, stride, activation="none")


def depthwise_separable(expansion: Expansion, node: Node, x: Value, stride: int) -> Layer:
    """Depthwise, squeeze-excite, 1x1, whose activation the family decides on (MobileNetV1 §3.1: yes)."""
    activation = node["activation"] if expansion.family.separable_activation else "none"
    return _depthwise_and_projection(expansion, node, x, x, stride, activation=activation)


def _depthwise_and_projection(
    expansion: Expansion, node: Node, x: Value, wide: Value, stride: int, *, activation: str
) -> Layer:
    depthwise = expansion.depthwise_bn_activation(
        wide, node["activation"], kernel=node["kernel"], stride=stride, dilation=node["dilation"]
    )
    excited = _squeeze_excite(expansion, node, x, depthwise)
    result = expansion.conv_bn_activation(excited, node["filters"], activation, name="project")
    return Layer(result, None if wide is x else wide, depthwise)


def convolution(expansion: Expansion, node: Node, x: Value, stride: int) -> Layer:
    """A convolution with batch norm and activation, then squeeze-excite."""
    window = {"kernel": node["kernel"], "stride": stride, "dilation": node["dilation"]}
    y = expansion.conv_bn_activation(x, node["filters"], node["activation"], **window)
    return Layer(_squeeze_excite(expansion, node, x, y))


LAYERS = {
    "inverted_bottleneck": inverted_bottleneck,
    "depthwise_separable": depthwise_separable,
    "conv": convolution,
}


def _squeeze_excite(expansion: Expansion, node: Node, block_input: Value, x: Value) -> Value:
    if node["se_ratio"] == 0:
        return x
    squeezed = expansion.family.squeezed(channels_of(block_input), channels_of(x), node["se_ratio"])
    return expansion.squeeze_excite(x, squeezed)


def _skip(expansion: Expansion, kind: str, x: Value, y: Value, stride: int) -> Value:
    """y plus x, or x averaged over 3x3 windows, where that fits: equal channels, and for the identity stride 1.

    MnasNet (§4.1) names the pooling skip without saying more.
    """
    if kind == "none" or channels_of(x) != channels_of(y) or (kind == "identity" and stride != 1):
        return y
    if kind == "pooling":
        x = pool(expansion, x, "average", kernel=3, stride=stride, name="skip")
    result: Value = expansion.nn.add(x, y, name=expansion.named("add"))
    return result


def expand_bottleneck(expansion: Expansion, node: Node, x: Value) -> Value:
    """Residual bottlenecks of ResNet v1.5: 1x1, 3x3 with the stride, 1x1, projection shortcut in the first."""
    for index in range(node["repeats"]):
        with expansion.scope(f"{index + 1}"):
            x = _bottleneck(expansion, node, x, node["stride"] if index == 0 else 1, projected=index == 0)
    return x


def _bottleneck(expansion: Expansion, node: Node, x: Value, stride: int, *, projected: bool) -> Value:
    activation, wide = node["activation"], node["filters"] * node["expansion"]
    y = expansion.conv_bn_activation(x, node["filters"], activation, name="reduce")
    y = expansion.conv_bn_activation(y, node["filters"], activation, kernel=3, stride=stride, name="conv")
    y = expansion.conv_bn_activation(y, wide, name="restore")
    if projected:
        x = expansion.conv_bn_activation(x, wide, stride=stride, name="shortcut")
    return expansion.activation(expansion.nn.add(x, y, name=expansion.named("add")), activation)


EXPANDERS = {"arch.block": expand_block, "arch.bottleneck": expand_bottleneck}
