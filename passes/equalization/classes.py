"""Which channels of which tensors must have one scale, and which must keep theirs.

Channels of a tensor may be multiplied by positive numbers when the layers before it make them so, the layers behind it
take them back, and everything between lets the numbers through: f(s x) = s f(x). Layers stand between two scales:
a depthwise convolution has one group of channels on both sides, and yet a scale for each side. So a class of channels
is a group of the channel structure in those tensors that are joined by ops which are no layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Graph, Node, Trait, Value
from nascompiler.ir.channels import ChannelStructure, Segments, channel_structure
from nascompiler.passes.equalization.layers import LAYERS, why_fixed

Wide = NDArray[np.float64]
Key = tuple[Value, int]
"""A value and a group of channels in it."""

HOMOGENEOUS = frozenset(
    f"nn.{name}"
    for name in (
        "relu leaky_relu prelu abs neg max_pool2d average_pool2d global_average_pool global_max_pool resize "
        "reduce_mean reduce_max reduce_min reduce_sum reshape flatten transpose squeeze unsqueeze slice split concat "
        "pad expand tile depth_to_space space_to_depth add sub maximum minimum"
    ).split()
)
"""f(s x) = s f(x) for positive s, channel by channel; of several operands, for all of them together."""
_ALIKE = ("nn.add", "nn.sub", "nn.maximum", "nn.minimum")


@dataclass
class ScaleClass:
    """Channels that have one scale each: those of one group, in tensors that are joined."""

    group: int
    length: int
    values: list[Value] = field(default_factory=list)
    fixed: list[str] = field(default_factory=list)
    """Why their scales must stay 1; empty when they are free."""
    makers: list[Node] = field(default_factory=list)
    """The layers whose results they are."""
    takers: list[Node] = field(default_factory=list)
    """The layers that take them."""


@dataclass(frozen=True, eq=False)
class ScaleClasses:
    """All classes of a graph, and where each stands."""

    structure: ChannelStructure
    classes: list[ScaleClass]
    index: dict[Key, int]

    def segments(self, value: Value) -> list[tuple[int, int, int]]:
        """(class, length, repeat) along the last axis of a value; empty when nothing can be said about it."""
        segments = _last(self.structure, value) or ()
        return [(self.index[value, s.group], s.length, s.repeat) for s in segments]

    def along(self, value: Value, scales: list[Wide]) -> Wide:
        """The scale of each index of the last axis: [C], for the scales [length] of each class."""
        parts = [np.repeat(scales[index], repeat) for index, _, repeat in self.segments(value)]
        return np.concatenate(parts) if parts else np.ones(value.type.static_shape[-1])

    def gathered(self, value: Value, numbers: Wide) -> Iterable[tuple[int, Wide]]:
        """For each class in a value, the largest of the given numbers [C] of each of its channels: [length]."""
        start = 0
        for index, length, repeat in self.segments(value):
            yield index, numbers[start : start + length * repeat].reshape(length, repeat).max(axis=1)
            start += length * repeat


def scale_classes(graph: Graph) -> ScaleClasses:
    """The classes of a graph whose sizes are known. Whatever is not understood keeps its scale."""
    return _Finder(graph).found()


def _last(structure: ChannelStructure, value: Value) -> Segments | None:
    """What stands along the last axis, when it is the only one with channels."""
    axes = structure.axes.get(value, {})
    shape = value.type.static_shape
    wide = [axis for axis in axes if shape[axis] > 1 or axis == len(shape) - 1]
    return axes[wide[0]] if wide == [len(shape) - 1] else None


class _Finder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.structure = channel_structure(graph)
        self.leader: dict[Key, Key] = {}
        self.fixed: dict[Key, list[str]] = {}
        self.makers: list[tuple[Value, Node]] = []
        self.takers: list[tuple[Value, Node]] = []

    def groups(self, value: Value) -> list[int]:
        segments = _last(self.structure, value) if value.type.is_static and value.type.rank else None
        return list(dict.fromkeys(s.group for s in segments or ()))

    def leading(self, key: Key) -> Key:
        found = key
        while self.leader.setdefault(found, found) != found:
            self.leader[found] = found = self.leader[self.leader[found]]
        return found

    def join(self, one: Value, other: Value, group: int) -> None:
        self.leader[self.leading((other, group))] = self.leading((one, group))

    def fix(self, values: Iterable[Value], reason: str) -> None:
        for value in values:
            for group in self.groups(value):
                self.fixed.setdefault((value, group), []).append(reason)

    # -- one node

    def visit(self, node: Node) -> None:
        name = node.op.name
        if name in LAYERS:
            self.layer(node)
        elif name in HOMOGENEOUS or (node.op.has(Trait.IDENTITY) and len(node.operands) == 1):
            self.passing(node)
        elif name in ("nn.mul", "nn.div"):
            self.product(node)
        else:
            self.fix((*node.operands, *node.results), f"{name} does not let a scale through")

    def layer(self, node: Node) -> None:
        reason = why_fixed(node)
        if reason is not None:
            self.fix((*node.operands, *node.results), f"{node!r}: {reason}")
            return
        self.takers.append((node.operands[0], node))
        self.makers.append((node.results[0], node))

    def passing(self, node: Node) -> None:
        reason = self.why_mixed(node)
        inputs, outputs = self.inputs(node), node.results
        self.fix(node.operands[len(inputs) :], f"it is a parameter of {node.op.name}")
        given = {g for v in inputs for g in self.groups(v)}
        made = {g for v in outputs for g in self.groups(v)}
        if reason is None and (not made or (made - given and node.op.name != "nn.pad")):
            reason = f"{node.op.name} mixes channels"
        if reason is not None:
            self.fix((*inputs, *outputs), reason)
            return
        for value in inputs:
            for result in outputs:
                for group in set(self.groups(value)).intersection(self.groups(result)):
                    self.join(value, result, group)

    def inputs(self, node: Node) -> list[Value]:
        """The operands that carry a scale: slopes of prelu do not."""
        return [node.operands[0]] if node.op.name == "nn.prelu" else list(node.operands)

    def why_mixed(self, node: Node) -> str | None:
        """Why an op that is homogeneous in all operands together is not so here."""
        name = node.op.name
        if node.op.attribute("activation") is not None and node["activation"] not in ("none", "relu"):
            return f"{node['activation']} is fused to {name}"
        if name == "nn.pad" and node["mode"] == "constant" and node["value"] != 0:
            return f"nn.pad pads with {node['value']:g}"
        if any(v.is_constant for v in self.inputs(node)):
            return f"{name} takes a constant"
        if name in _ALIKE:
            shape = node.results[0].type.static_shape
            if any(v.type.static_shape[-1:] != shape[-1:] for v in node.operands):
                return f"{name} repeats one number for all channels"
            if any(self.groups(v) != self.groups(node.results[0]) for v in node.operands):
                return f"{name} takes channels that are not followed"
        return None

    def product(self, node: Node) -> None:
        """A gate keeps its scale; the scale of what is gated passes through."""
        gate = self.gate(node)
        if gate is None:
            self.fix((*node.operands, *node.results), f"{node.op.name} of two tensors squares a scale")
            return
        (x,) = (v for v in node.operands if v is not gate)
        if set(self.groups(x)) != set(self.groups(node.results[0])):
            self.fix((*node.operands, *node.results), f"{node.op.name} mixes channels")
            return
        self.fix([gate], f"it is a factor in {node.op.name}")
        for group in self.groups(x):
            self.join(x, node.results[0], group)

    def gate(self, node: Node) -> Value | None:
        """The operand of a product that keeps its scale: a constant, one for all pixels, or one of limited range."""
        x, y = node.operands
        if x is y or (node.op.attribute("activation") is not None and node["activation"] not in ("none", "relu")):
            return None
        if node.op.name == "nn.div":
            return y
        if x.is_constant or y.is_constant:
            return x if x.is_constant else y
        for one, other in ((x, y), (y, x)):
            if one.type.size < other.type.size or (_is_limited(one) and not _is_limited(other)):
                return one
        return None

    # -- all

    def found(self) -> ScaleClasses:
        for node in self.graph.nodes:
            self.visit(node)
        self.fix(self.graph.inputs, "it is an input of the graph")
        self.fix(self.graph.outputs, "it is an output of the graph")
        classes: list[ScaleClass] = []
        numbers: dict[Key, int] = {}
        index: dict[Key, int] = {}
        for value in (*self.graph.inputs, *(v for n in self.graph.nodes for v in n.results)):
            for group in self.groups(value):
                leading = self.leading((value, group))
                if leading not in numbers:
                    numbers[leading] = len(classes)
                    classes.append(ScaleClass(group, self.structure.groups[group].length))
                index[value, group] = numbers[leading]
                classes[numbers[leading]].values.append(value)
        for key, reasons in self.fixed.items():
            if key in index:
                classes[index[key]].fixed += [r for r in reasons if r not in classes[index[key]].fixed]
        for members, field_ in ((self.makers, "makers"), (self.takers, "takers")):
            for value, node in members:
                for group in self.groups(value):
                    getattr(classes[index[value, group]], field_).append(node)
        return ScaleClasses(self.structure, classes, index)


def _is_limited(value: Value) -> bool:
    return value.producer is not None and value.producer.op.name in ("nn.hard_sigmoid", "nn.sigmoid", "nn.softmax")
