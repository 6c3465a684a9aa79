"""Squeeze-and-excitation written out: pool, layer, activation, layer, gate, product (arXiv:1709.01507)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Array, Node, Value
from nascompiler.passes.infrastructure.layout import keeps_order

_ACTIVATIONS = ("relu", "relu6", "hard_swish", "swish")
_GATES = ("hard_sigmoid", "sigmoid")
_VIEWS = ("nn.reshape", "nn.flatten", "nn.squeeze", "nn.unsqueeze", "nn.identity", "nn.dropout")


@dataclass(frozen=True)
class Layer:
    """x [N, ..., C] @ weight [C, S] + bias [S], every dimension in between being 1, and then an activation."""

    x: Value
    weight: Array
    bias: Array
    activation: str


@dataclass(frozen=True)
class SqueezeExcite:
    """The operands and attributes of `nn.squeeze_excite`."""

    x: Value
    squeeze: Layer
    excite: Layer
    activation: str
    gate: str
    alpha: float
    beta: float


class Miss(Exception):
    """Why a product with a gate is no squeeze-and-excitation."""


def find_squeeze_excite(product: Node) -> SqueezeExcite | None:
    """The squeeze-and-excitation that ends in a product, or None when its operands are no image and gate.

    Raises Miss with the reason when they are, but what makes the gate is something else.
    """
    for image, gate in (product.operands, product.operands[::-1]):
        if _is_gate_shape(gate, image):
            found = _gate(gate)
            if found is not None:
                return _behind_gate(image, *found)
    return None


def _is_gate_shape(gate: Value, image: Value) -> bool:
    shape, whole = gate.type.shape, image.type.shape
    if shape is None or whole is None or len(shape) != 4 or len(whole) != 4:
        return False
    return shape[1:3] == (1, 1) and shape[3] == whole[3] and whole[1:3] != (1, 1)


def _gate(value: Value) -> tuple[Value, str, float, float] | None:
    """What stands before the gate function (or its layer, where that is fused), and the function."""
    value = _through_views(value)
    node = value.producer
    if node is None:
        return None
    name = node.op.name.removeprefix("nn.")
    if name in _GATES:
        _require_single_use(value)
        alpha, beta = (node["alpha"], node["beta"]) if name == "hard_sigmoid" else (1 / 6, 0.5)
        return node.operands[0], name, alpha, beta
    fused = node.attributes.get("activation")
    if name in ("conv2d", "linear") and isinstance(fused, str) and fused in _GATES:
        return value, fused, 1 / 6, 0.5
    return None


def _behind_gate(image: Value, gated: Value, gate: str, alpha: float, beta: float) -> SqueezeExcite:
    excite = _layer(gated, "before the gate")
    if excite.activation not in ("none", gate):
        raise Miss(f"the layer before the gate has the activation {excite.activation}")
    middle = _through_views(excite.x)
    node = middle.producer
    activation = "" if node is None else node.op.name.removeprefix("nn.")
    if node is not None and activation in _ACTIVATIONS:
        _require_single_use(middle)
        squeeze = _layer(node.operands[0], "before the activation")
        if squeeze.activation != "none":
            raise Miss(f"two activations between the layers: {squeeze.activation} and {activation}")
    else:
        squeeze = _layer(middle, "before the gate's layer")
        activation = squeeze.activation
        if activation not in _ACTIVATIONS:
            raise Miss(f"the activation between the layers is {activation}; accepted: {', '.join(_ACTIVATIONS)}")
    pooled = _pooled(squeeze.x)
    if pooled is not image:
        raise Miss(f"it pools {pooled!r}, but gates {image!r}")
    if squeeze.weight.shape[0] != excite.weight.shape[1]:
        raise Miss(f"{squeeze.weight.shape[0]} channels are pooled, {excite.weight.shape[1]} gated")
    return SqueezeExcite(image, squeeze, excite, activation, gate, alpha, beta)


def _layer(value: Value, where: str) -> Layer:
    """A fully connected layer on the channels, in any of the forms it is exported in."""
    value = _through_views(value)
    _require_single_use(value)
    node = value.producer
    bias: Array | None = None
    if node is not None and node.op.name == "nn.add" and node["activation"] == "none":
        addend = next((v for v in node.operands if v.array is not None), None)
        if addend is not None and addend.array is not None:
            bias = addend.array
            value = _through_views(next(v for v in node.operands if v is not addend))
            _require_single_use(value)
            node = value.producer
    if node is None or node.op.name not in ("nn.conv2d", "nn.linear", "nn.matmul"):
        raise Miss(f"{where} stands {'an input' if node is None else node.op.name}, not a fully connected layer")
    weight = _matrix(node, where)
    if len(node.operands) > 2:
        if bias is not None:
            raise Miss(f"the layer {where} has two biases: run fold-batch-norm first")
        bias = node.operands[2].array
        if bias is None:
            raise Miss(f"the bias of the layer {where} is no constant")
    features = weight.shape[1]
    if bias is None:
        bias = np.zeros(features, weight.dtype)
    elif bias.size not in (1, features) or (bias.size > 1 and bias.shape[-1] != features):
        raise Miss(f"what is added to the layer {where} is not one number for each channel")
    activation = node.attributes.get("activation", "none")
    if bias.size and activation != "none" and value.producer is not node:
        raise Miss(f"the layer {where} adds after its activation")
    if not _is_vector(node.operands[0]) or not _is_vector(node.result):
        raise Miss(f"the layer {where} is on {node.operands[0].type}, not on one vector for each image")
    return Layer(node.operands[0], weight, np.broadcast_to(bias.reshape(-1), (features,)), str(activation))


def _matrix(node: Node, where: str) -> Array:
    """The weight as [C, S]."""
    weight = node.operands[1].array
    if weight is None:
        raise Miss(f"the weight of the layer {where} is no constant")
    if node.op.name == "nn.conv2d":
        if weight.shape[:2] != (1, 1) or node["groups"] != 1 or any(node["padding"]):
            raise Miss(f"the convolution {where} is not 1x1, ungrouped and without padding")
        return np.asarray(weight[0, 0])
    if weight.ndim != 2:
        raise Miss(f"the weight {where} has {weight.ndim} dimensions, not 2")
    return weight


def _pooled(value: Value) -> Value:
    """The image [N, H, W, C] whose mean for each channel a value is."""
    value = _through_views(value)
    _require_single_use(value)
    node = value.producer
    name = "an input" if node is None else node.op.name
    if node is not None:
        x = node.operands[0]
        if name == "nn.global_average_pool":
            return x
        if name == "nn.reduce_mean" and sorted(a % 4 for a in node["axes"]) == [1, 2] and x.type.rank == 4:
            return x
        shape = x.type.shape
        if name == "nn.average_pool2d" and shape and node["kernel"] == shape[1:3] and not any(node["padding"]):
            return x
    raise Miss(f"before the first layer stands {name}, not a pooling of the whole image")


def _through_views(value: Value) -> Value:
    """The value before ops that only change its shape."""
    while value.producer is not None and value.producer.op.name in (*_VIEWS, "nn.transpose"):
        node = value.producer
        if node.op.name == "nn.transpose":
            shape = node.operands[0].type.shape
            if shape is None or not keeps_order(shape, node["permutation"]):
                break
        _require_single_use(value)
        value = node.operands[0]
    return value


def _is_vector(value: Value) -> bool:
    """[N, C], perhaps with dimensions of 1 in between."""
    shape = value.type.shape
    return shape is not None and len(shape) >= 2 and all(d == 1 for d in shape[1:-1])


def _require_single_use(value: Value) -> None:
    if value.use_count != 1:
        raise Miss(f"{value!r} has other users")
