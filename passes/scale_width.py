"""The width multiplier of the MobileNets (arXiv:1704.04861, section 3.3), by the rounding rules of each family."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from nascompiler.ir import Graph, Node
from nascompiler.passes.expansion.families import Family, family_of
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass

WIDTHS = {
    "arch.conv": "filters",
    "arch.block": "filters",
    "arch.bottleneck": "filters",
    "arch.cell": "filters",
    "arch.stack": "filters",
    "arch.dense": "units",
    "arch.lstm": "units",
    "arch.classifier": "hidden",
}
"""The attribute of an op that a width multiplier applies to; expansion and squeeze ratios follow from it."""


@register_pass
@dataclass(frozen=True)
class ScaleWidth(Pass):
    """Multiplies the channels of an architecture by `multiplier`, rounded as the family does.

    What the family leaves alone stays: the last convolution of MnasNet always, of MobileNetV2 below 1, the hidden
    layer of MobileNetV3 below 1. A layer that makes an output of the network keeps its size.
    """

    requires_level = ("arch",)
    requires = frozenset({"closed"})
    preserves = Nothing("another architecture")

    multiplier: float

    def __post_init__(self) -> None:
        if not (isfinite(self.multiplier) and 0 < self.multiplier <= 100):
            raise ValueError(f"multiplier is {self.multiplier:g}; accepted: numbers above 0, up to 100")

    def run(self, graph: Graph, context: PassContext) -> None:
        family = family_of(graph)
        for node in graph.nodes:
            attribute = WIDTHS.get(node.op.name)
            if attribute is None or _makes_output(node):
                continue
            scaled = _scaled(node, node[attribute], self.multiplier, family)
            if scaled != node[attribute]:
                context.count(f"{node.op.name} scaled")
                graph.set_attributes(node, **{attribute: scaled})


def _makes_output(node: Node) -> bool:
    return node.op.name != "arch.classifier" and any(value.is_output for value in node.results)


def _scaled(node: Node, channels: int, multiplier: float, family: Family) -> int:
    if channels == 0:  # a classifier without a hidden layer
        return 0
    if node.op.name == "arch.classifier":
        return family.scaled(channels, multiplier, family.hidden_layer)
    if node.op.name == "arch.conv" and node["kernel"] == 1:
        return family.scaled(channels, multiplier, family.last_convolution)
    return family.scaled(channels, multiplier)
