"""SSDLite: SSD with depthwise-separable layers (MobileNetV2 §6.2; its use on MobileNetV3 in §6.3)."""

from __future__ import annotations

from nascompiler.ir import Node, Value
from nascompiler.passes.expansion.context import Expansion, channels_of, image_size

EXTRA_MAPS = (512, 256, 256, 128)
"""Channels of the maps made from the last one of the trunk, each half the size of the one before."""

ANCHORS = 6
"""Boxes at each position; half as many on the first map."""

ACTIVATION = "relu6"


def expand_ssdlite(expansion: Expansion, node: Node, c4: Value, c5: Value) -> tuple[Value, Value]:
    """c4 and c5 [N, H, W, C] -> boxes [N, anchors, 4] and scores [N, anchors, classes + 1], both raw.

    Anchors are ordered by map, row, column and then by number at that place. Class 0 is the background.
    """
    maps = [c4, c5]
    for index, filters in enumerate(EXTRA_MAPS, 1):
        with expansion.scope(f"extra{index}"):
            maps.append(_extra_map(expansion, maps[-1], filters))
    boxes, scores = [], []
    for index, feature in enumerate(maps, 1):
        anchors = ANCHORS // 2 if index == 1 else ANCHORS
        with expansion.scope(f"map{index}"):
            boxes.append(_predicted(expansion, feature, anchors, 4, "boxes"))
            scores.append(_predicted(expansion, feature, anchors, node["classes"] + 1, "scores"))
    return (
        expansion.nn.concat(*boxes, axis=1, name=expansion.named("boxes")),
        expansion.nn.concat(*scores, axis=1, name=expansion.named("scores")),
    )


def _extra_map(expansion: Expansion, x: Value, filters: int) -> Value:
    """1x1 to half of the filters, depthwise 3x3 with stride 2, 1x1 to all of them."""
    x = expansion.conv_bn_activation(x, filters // 2, ACTIVATION, name="reduce")
    x = expansion.depthwise_bn_activation(x, ACTIVATION, kernel=3, stride=2)
    return expansion.conv_bn_activation(x, filters, ACTIVATION, name="pointwise")


def _predicted(expansion: Expansion, x: Value, anchors: int, size: int, name: str) -> Value:
    """x [N, H, W, C] -> [N, H * W * anchors, size], by depthwise 3x3 and 1x1 with bias."""
    with expansion.scope(name):
        y = expansion.depthwise_bn_activation(x, ACTIVATION, kernel=3)
        y = expansion.convolution(y, anchors * size, bias=True, gain=1.0)
        height, width = image_size(y)
        count = height * width * channels_of(y) // size
        result: Value = expansion.nn.reshape(y, shape=(-1, count, size), name=expansion.named("anchors"))
        return result


EXPANDERS = {"arch.ssdlite": expand_ssdlite}
