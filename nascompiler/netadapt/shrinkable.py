"""What becomes narrower in one proposal: an expansion, all blocks that share a bottleneck, the filters of a layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from nascompiler.ir import Node
from nascompiler.ir.channels import ChannelGroup, ChannelStructure, Role
from nascompiler.ir.errors import UsageError


class Sort(Enum):
    """What a group of channels is in its network."""

    EXPANSION = "expansion"
    """Made by a convolution and filtered by a depthwise one; gates of it shrink in proportion."""
    BOTTLENECK = "bottleneck"
    """Between blocks: what projections make, in all blocks that share its size (MobileNetV3)."""
    FILTERS = "filters"
    """Those of any other layers that go together."""
    SQUEEZE = "squeeze"
    """The hidden layer of a gate."""


PRESETS: Mapping[str, frozenset[Sort] | None] = {
    "all": frozenset({Sort.EXPANSION, Sort.BOTTLENECK, Sort.FILTERS}),
    "mobilenet-v3": frozenset({Sort.EXPANSION, Sort.BOTTLENECK}),
    "layers": None,
}
"""Which sorts are proposed; None: every group by itself, as in NetAdapt."""


@dataclass(frozen=True)
class Shrinkable:
    """Groups (by number) of one length that keep equally many channels; `followers` shrink in the same ratio."""

    name: str
    sort: Sort
    groups: tuple[int, ...]
    followers: tuple[int, ...] = ()

    def counts(self, count: int, lengths: Sequence[int]) -> dict[int, int]:
        """How many channels every group keeps when the main ones keep `count`; `lengths` are by group."""
        length = lengths[self.groups[0]]
        kept = dict.fromkeys(self.groups, count)
        for group in self.followers:
            own = lengths[group]
            if own > 2:
                kept[group] = max(2, round(own * count / length))
        return {group: number for group, number in kept.items() if number < lengths[group]}

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "sort": self.sort.value,
            "groups": list(self.groups),
            "followers": list(self.followers),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Shrinkable:
        return cls(data["name"], Sort(data["sort"]), tuple(data["groups"]), tuple(data["followers"]))


def shrinkables(structure: ChannelStructure, preset: str = "all") -> tuple[Shrinkable, ...]:
    """All that can shrink, in the order of the network.

    Raises UsageError, with the reasons, for a network in which nothing of the preset's sorts can.
    """
    kinds = PRESETS[preset]
    depthwise = {g.index for g in structure.groups if any(_is_depthwise(use.node) for use in _each(g))}
    found: dict[tuple[Sort, int], list[ChannelGroup]] = {}
    for group in structure.free_groups:
        sort = _sort(group, depthwise)
        if kinds is None or sort in kinds:
            together = kinds is not None and sort is Sort.BOTTLENECK
            found.setdefault((sort, group.length if together else -group.index - 1), []).append(group)
    made = tuple(
        Shrinkable(
            _name(structure, groups, sort),
            sort,
            tuple(group.index for group in groups),
            () if kinds is None else tuple(f for group in groups for f in _gates(structure, group)),
        )
        for (sort, _), groups in found.items()
    )
    if not made:
        reasons = [
            f"group {g.index} ({g.length} channels): {'; '.join(g.frozen)}" for g in structure.groups if g.frozen
        ]
        listed = "\n  ".join(["", *reasons]) if reasons else " none"
        raise UsageError(
            f"{structure.graph.name} has no channels that could go (proposals {preset!r}); those that it has:{listed}"
        )
    return made


def _sort(group: ChannelGroup, depthwise: set[int]) -> Sort:
    if group.producers and all(node.op.name == "nn.squeeze_excite" for node in group.producers):
        return Sort.SQUEEZE
    projects = any(node.op.name == "nn.conv2d" and _follows_depthwise(node) for node in group.producers)
    if projects and (group.index not in depthwise or len(group.producers) > 1):
        return Sort.BOTTLENECK
    return Sort.EXPANSION if group.index in depthwise and not projects else Sort.FILTERS


def _each(group: ChannelGroup) -> list[Any]:
    return [use for use in group.constants if use.role is Role.EACH and use.operand == "weight"]


def _follows_depthwise(node: Node) -> bool:
    """Whether what a convolution reads comes from a depthwise one: batch norms, activations and gates lie between."""
    before = node.operands[0].producer
    while before is not None and before.op.name != "nn.conv2d":
        computed = [value for value in before.operands if not value.is_constant]
        before = computed[0].producer if len(computed) == 1 else None
    return before is not None and _is_depthwise(before)


def _is_depthwise(node: Node) -> bool:
    return node.op.name == "nn.conv2d" and node["groups"] > 1


def _gates(structure: ChannelStructure, group: ChannelGroup) -> list[int]:
    """The hidden layers of the gates over a group."""
    gates = [node for node in group.consumers if node.op.name == "nn.squeeze_excite"]
    hidden = [structure.segments(node.operands[1], 1) for node in gates if node.operands[1] in structure.axes]
    found = [segments[0].group for segments in hidden if len(segments) == 1]
    return [index for index in dict.fromkeys(found) if structure.groups[index].is_free and index != group.index]


def _name(structure: ChannelStructure, groups: Sequence[ChannelGroup], sort: Sort) -> str:
    numbers = {node: number for number, node in enumerate(structure.graph.nodes)}
    makers = [node for group in groups for node in group.producers]
    names = [node.results[0].name or node.origin or f"#{numbers[node]}" for node in makers]
    shown = list(dict.fromkeys(str(name) for name in names)) or [f"group {groups[0].index}"]
    return f"{sort.value} of {shown[0]}" + (f" to {shown[-1]}" if len(shown) > 1 else "")
