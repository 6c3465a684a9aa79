"""The width multiplier of the MobileNets (arXiv:1704.04861, section 3.3), by the rounding rules of each family."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Graph, Node, UsageError
from nascompiler.ir.channel_edit import remove_channels
from nascompiler.ir.channels import channel_structure
from nascompiler.passes.expansion.families import Family, family_of
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.shrinking import filter_norms, largest

WIDTHS = {
    "arch.conv": ("filters",),
    "arch.block": ("filters",),
    "arch.bottleneck": ("filters",),
    "arch.cell": ("filters",),
    "arch.stack": ("filters",),
    "arch.inception": ("single", "triple", "double_triple", "projection"),
    "arch.dense": ("units",),
    "arch.lstm": ("units",),
    "arch.classifier": ("hidden",),
}
"""The attributes of an op that a width multiplier applies to; expansion and squeeze ratios follow from it."""


@register_pass
@dataclass(frozen=True)
class ScaleWidth(Pass):
    """Multiplies the channels of an architecture by `multiplier`, rounded as the family does.

    What the family leaves alone stays: the last convolution of MnasNet always, of MobileNetV2 below 1, the hidden
    layer of MobileNetV3 below 1. A layer that makes an output of the network keeps its size.

    A network, whose weights are given, can only become narrower: of every group of channels that stay or go together
    (see `ir.channels`) the ones with the largest filters stay, as many as the same rounding gives.
    """

    requires_level = ("arch", "nn")
    requires = frozenset({"closed"})
    preserves = Nothing("another architecture")

    multiplier: float

    def __post_init__(self) -> None:
        if not (isfinite(self.multiplier) and 0 < self.multiplier <= 100):
            raise ValueError(f"multiplier is {self.multiplier:g}; accepted: numbers above 0, up to 100")

    def run(self, graph: Graph, context: PassContext) -> None:
        family = family_of(graph)
        if graph.level == "nn":
            self._narrow(graph, family, context)
            return
        for node in graph.nodes:
            if _makes_output(node):
                continue
            widths = {name: node[name] for name in WIDTHS.get(node.op.name, ())}
            scaled = {name: self._scaled(node, width, family) for name, width in widths.items()}
            if scaled != widths:
                context.count(f"{node.op.name} scaled")
                graph.set_attributes(node, **scaled)

    def _scaled(self, node: Node, width: int | tuple[int, ...], family: Family) -> int | tuple[int, ...]:
        if isinstance(width, tuple):
            return tuple(_scaled(node, channels, self.multiplier, family) for channels in width)
        return _scaled(node, width, self.multiplier, family)

    def _narrow(self, graph: Graph, family: Family, context: PassContext) -> None:
        if self.multiplier > 1:
            raise UsageError(
                f"multiplier is {self.multiplier:g}; accepted for a network: numbers above 0, up to 1 (only an "
                "architecture can become wider)"
            )
        structure = channel_structure(graph)
        keep: dict[int, NDArray[np.int64]] = {}
        for group in structure.free_groups:
            count = min(group.length, family.scaled(group.length, self.multiplier))
            if count < group.length:
                keep[group.index] = largest(filter_norms(structure, group), count)
        context.count("groups narrowed", len(keep))
        remove_channels(graph, keep, structure)


def _makes_output(node: Node) -> bool:
    return node.op.name != "arch.classifier" and any(value.is_output for value in node.results)


def _scaled(node: Node, channels: int, multiplier: float, family: Family) -> int:
    if channels == 0:  # a classifier without a hidden layer, a module without a branch
        return 0
    if node.op.name == "arch.classifier":
        return family.scaled(channels, multiplier, family.hidden_layer)
    if node.op.name == "arch.conv" and node["kernel"] == 1:
        return family.scaled(channels, multiplier, family.last_convolution)
    return family.scaled(channels, multiplier)
