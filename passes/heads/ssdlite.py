"""SSDLite on two maps of the trunk (MobileNetV2 §6.2, MobileNetV3 §6.3)."""

from __future__ import annotations

from nascompiler.ir import Builder, ModelError, Node, Value
from nascompiler.passes.heads.trunk import Trunk, closed, split_first, tap

SIZE = 320
"""Height and width of the images that the published figures are for."""


def attach(trunk: Trunk, *, classes: int, halved: bool) -> dict[str, Value]:
    """Boxes and scores: raw outputs [N, anchors, 4] and [N, anchors, classes + 1].

    C4 is the expansion inside the layer that halves the map for the last time (the input of that layer where it has
    no expansion), C5 what the classifier took. `halved` first halves the channels of all layers from there on.
    """
    last = trunk.last_reduction()
    if halved:
        for layer in trunk.layers[last:]:
            halve(trunk, layer)
    c4 = _last_before_reduction(trunk, trunk.layers[last])
    boxes, scores = Builder(trunk.graph, before=trunk.head).arch.ssdlite(
        c4, trunk.head.operands[0], classes=classes, names=("boxes", "scores")
    )
    return {"boxes": boxes, "scores": scores}


def halve(trunk: Trunk, layer: Node) -> None:
    """Give a layer half of its filters; its expansion follows from its input. Raises ModelError for an odd number."""
    if "filters" not in layer.attributes:
        raise ModelError(f"{layer!r} has no filters to halve")
    filters = closed(layer, "filters")
    if filters % 2:
        raise ModelError(f"{layer!r}: filters is {filters}; accepted: even numbers, half of which remain")
    trunk.graph.set_attributes(layer, filters=filters // 2)


def _last_before_reduction(trunk: Trunk, layer: Node) -> Value:
    expands = layer.op.name == "arch.block" and closed(layer, "op") == "inverted_bottleneck"
    if not expands or layer["expansion"] == 1:
        return layer.operands[0]
    return tap(trunk.graph, split_first(trunk.graph, layer), "expansion")
