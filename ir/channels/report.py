"""Channel groups in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nascompiler.ir.channels.structure import ChannelStructure, ConstantAxis
from nascompiler.ir.graph import Node


@dataclass(frozen=True)
class GroupRow:
    """A channel group as `inspect --channel-groups` shows it.

    `frozen` are the reasons why its channels stay. Nodes go by the name of their result, or as `#12 conv2d`; constants
    by theirs, or as `weight of #12 conv2d`, with the axis that the channels index and what the node does along it: in
    (sums over them), out (makes them) or each.
    """

    group: int
    channels: int
    frozen: tuple[str, ...]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    constants: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def describe(structure: ChannelStructure) -> list[GroupRow]:
    """One row for each group, in their order."""
    numbers = {node: number for number, node in enumerate(structure.graph.nodes)}

    def name(node: Node) -> str:
        return node.results[0].name or f"#{numbers[node]} {node.op.name.partition('.')[2]}"

    def constant(use: ConstantAxis) -> str:
        own = f"@{use.value.name}" if use.value.name else f"{use.operand} of {name(use.node)}"
        return f"{own}[{use.axis}] {use.role.value}"

    return [
        GroupRow(
            group=group.index,
            channels=group.length,
            frozen=group.frozen,
            producers=tuple(map(name, group.producers)),
            consumers=tuple(map(name, group.consumers)),
            constants=tuple(map(constant, group.constants)),
        )
        for group in structure.groups
    ]
