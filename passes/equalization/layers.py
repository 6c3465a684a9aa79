"""Layers as equalisation sees them: weights that channels enter and leave, and how they follow other scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, Node

Wide = NDArray[np.float64]

LAYERS = ("nn.conv2d", "nn.conv2d_transpose", "nn.linear")
_HOMOGENEOUS_ACTIVATIONS = ("none", "relu")


def is_depthwise(node: Node) -> bool:
    """Whether each input channel has filters of its own."""
    if node.op.name == "nn.linear" or node["groups"] == 1:
        return False
    return bool(node["groups"] == node.operands[0].type.static_shape[3])


def why_fixed(node: Node) -> str | None:
    """Why the weights of a layer cannot take up other scales; None when they can."""
    if any(v.array is None for v in node.operands[1:]):
        return "its weights or bias are no constants"
    if any(v.use_count > 1 for v in node.operands[1:]):
        return "it shares its weights or bias with another layer"
    if node["activation"] not in _HOMOGENEOUS_ACTIVATIONS:
        return f"{node['activation']} is fused to it"
    return None


class Layer:
    """The magnitudes of a layer's weights, by input channel [C] and output channel [O] as far as they meet.

    `magnitude` is [groups, C / groups, O / groups]: the largest |weight| over the positions of the kernel.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        weight = node.operands[1].array
        assert weight is not None
        groups = 1 if node.op.name == "nn.linear" else int(node["groups"])
        largest = np.abs(weight.astype(np.float64)).reshape(-1, *weight.shape[-2:]).max(axis=0, initial=0)
        if node.op.name == "nn.conv2d_transpose":  # [C, O / groups]
            self.magnitude: Wide = largest.reshape(groups, -1, largest.shape[1])
        else:  # [C / groups, O]
            self.magnitude = largest.reshape(largest.shape[0], groups, -1).transpose(1, 0, 2)

    def scaled(self, before: Wide, after: Wide) -> Wide:
        """The magnitudes when inputs [C] are scaled by `before` and results [O] by `after`."""
        groups = len(self.magnitude)
        return self.magnitude / before.reshape(groups, -1, 1) * after.reshape(groups, 1, -1)

    def by_input(self, before: Wide, after: Wide) -> Wide:
        """The largest weight of each input channel: [C]."""
        return np.asarray(self.scaled(before, after).max(axis=2, initial=0)).reshape(-1)

    def by_output(self, before: Wide, after: Wide) -> Wide:
        """The largest weight of each output channel: [O]."""
        return np.asarray(self.scaled(before, after).max(axis=1, initial=0)).reshape(-1)


def scaled_weight(node: Node, before: Wide, after: Wide) -> Array:
    """The weights of a layer whose inputs [C] are scaled by `before` and whose results [O] shall be by `after`."""
    weight = node.operands[1].array
    assert weight is not None
    wide = weight.astype(np.float64)
    if node.op.name == "nn.linear":
        scaled = wide / before[:, None] * after
    elif node.op.name == "nn.conv2d_transpose":  # [kh, kw, C, O / groups]
        groups = int(node["groups"])
        grouped = wide.reshape(*wide.shape[:2], groups, -1, wide.shape[3])
        scaled = grouped / before.reshape(groups, -1, 1) * after.reshape(groups, 1, -1)
    else:  # [kh, kw, C / groups, O]
        groups = int(node["groups"])
        grouped = wide.reshape(*wide.shape[:3], groups, -1)
        scaled = grouped / before.reshape(groups, -1).T[:, :, None] * after.reshape(groups, -1)
    return scaled.reshape(weight.shape).astype(weight.dtype)
