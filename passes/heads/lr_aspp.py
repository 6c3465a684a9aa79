"""LR-ASPP on the trunk of MobileNetV3 (§6.4), with the reduced last stage that the paper calls RF2."""

from __future__ import annotations

from nascompiler.ir import Builder, Graph, ModelError, Node, Value
from nascompiler.passes.heads.ssdlite import halve
from nascompiler.passes.heads.trunk import Trunk, closed, split_first, tap

SIZE = "1024x2048"
"""Height and width of the images that the published figures are for (Cityscapes)."""

LOW_STRIDE = 8
"""Stride of the map that keeps details."""


def attach(trunk: Trunk, *, classes: int, filters: int, output_stride: int) -> dict[str, Value]:
    """Logits at the size of the image.

    From the layer that halves the map for the last time on, channels are halved, the first expansion included. At
    output stride 16 that layer has stride 1, and depthwise convolutions behind it dilation 2. The low-level map is
    the depthwise output of the last block of stride 8.
    """
    graph = trunk.graph
    last = trunk.last_reduction()
    low = _low_level(trunk)
    for layer in trunk.layers[last:]:
        halve(trunk, layer)
    reducing = trunk.layers[last]
    rest = [layer for layer in trunk.layers[last + 1 :] if "dilation" in layer.attributes]
    if "expansion" in reducing.attributes:
        first = split_first(graph, reducing)
        rest += [reducing] if first is not reducing else []
        graph.set_attributes(first, expansion=closed(first, "expansion") / 2)
        reducing = first
    if output_stride == trunk.strides[last] // 2:
        graph.set_attributes(reducing, stride=1)
        for layer in rest:
            _dilate(graph, layer)
    elif output_stride != trunk.strides[last]:
        accepted = f"{trunk.strides[last] // 2}, {trunk.strides[last]}"
        raise ModelError(f"output_stride is {output_stride}; accepted for {graph.name}: {accepted}")
    logits = Builder(graph, before=trunk.head).arch.lr_aspp(
        trunk.head.operands[0], low, trunk.image, name="logits", classes=classes, filters=filters
    )
    return {"logits": logits}


def _low_level(trunk: Trunk) -> Value:
    found = [
        layer
        for layer, stride in zip(trunk.layers, trunk.strides, strict=True)
        if stride == LOW_STRIDE and layer.op.name == "arch.block"
    ]
    if not found or closed(found[-1], "op") == "conv":
        raise ModelError(f"{trunk.graph.name} has no block of stride {LOW_STRIDE} with a depthwise convolution")
    return tap(trunk.graph, found[-1], "depthwise")


def _dilate(graph: Graph, layer: Node) -> None:
    if layer.op.name != "arch.conv" or closed(layer, "kernel") > 1:
        graph.set_attributes(layer, dilation=2 * closed(layer, "dilation"))
