"""LR-ASPP: a convolution gated by a coarse view of the whole, and a low-level map added (MobileNetV3 §6.4, fig. 10)."""

from __future__ import annotations

from nascompiler.ir import Node, Value
from nascompiler.passes.expansion.context import Expansion, image_size

POOL = 49
"""Height and width of the pooling window: the stride-16 map of the training crop of 769x769 (DeepLab's code)."""

POOL_STRIDES = (16, 20)
"""Its steps along height and width (figure 10)."""


def expand_lr_aspp(expansion: Expansion, node: Node, high: Value, low: Value, image: Value) -> Value:
    """high [N, H, W, C], low [N, H', W', C'], image [N, H'', W'', 3] -> logits [N, H'', W'', classes].

    A map smaller than the pooling window is pooled whole, as DeepLab's code does with crops of that size; the
    parameters are the same.
    """
    nn, named = expansion.nn, expansion.named
    features = expansion.conv_bn_activation(high, node["filters"], "relu", name="branch")
    size = image_size(high)
    window = (min(POOL, size[0]), min(POOL, size[1]))
    pooled = nn.average_pool2d(high, kernel=window, strides=POOL_STRIDES, padding=(0, 0, 0, 0), name=named("pool"))
    gate = expansion.convolution(pooled, node["filters"], bias=True, gain=1.0, name="gate")
    gate = resized(expansion, nn.sigmoid(gate, name=named("gate.sigmoid")), size, "gate.resized")
    gated = resized(expansion, nn.mul(features, gate, name=named("gated")), image_size(low), "upsampled")
    coarse = expansion.convolution(gated, node["classes"], bias=True, gain=1.0, name="high")
    fine = expansion.convolution(low, node["classes"], bias=True, gain=1.0, name="low")
    return resized(expansion, nn.add(coarse, fine, name=named("add")), image_size(image), "")


def resized(expansion: Expansion, x: Value, size: tuple[int, int], name: str) -> Value:
    """x [N, H, W, C] -> [N, *size, C], bilinear with corners aligned, as in DeepLab's code."""
    if image_size(x) == size:
        return x
    result: Value = expansion.nn.resize(
        x, size=size, mode="linear", coordinates="align_corners", name=expansion.named(name)
    )
    return result


EXPANDERS = {"arch.lr_aspp": expand_lr_aspp}
