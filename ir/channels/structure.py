"""What the channel analysis finds: groups of channels, and where each of them stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.ir.graph import Graph, Node, Value


class Role(Enum):
    """What a node does with the channels along an axis of an operand."""

    INPUT = "in"
    """Sums over them: rows of a weight matrix, input channels of a filter."""
    OUTPUT = "out"
    """Makes them: columns of a weight matrix, filters, their biases."""
    EACH = "each"
    """Treats each by itself: batch-norm statistics, slopes, depthwise filters, gates."""


@dataclass(frozen=True)
class Segment:
    """All `length` channels of a group in order, each of them at `repeat` consecutive positions."""

    group: int
    length: int
    repeat: int = 1

    @property
    def size(self) -> int:
        """Number of positions."""
        return self.length * self.repeat


Segments = tuple[Segment, ...]
"""What stands along a dimension; the sizes add up to it. One group may occur several times (NHWC flattened)."""


@dataclass(frozen=True)
class ConstantAxis:
    """An axis of a constant that the channels of a group index, as one operand of one node."""

    value: Value
    axis: int
    role: Role
    node: Node
    operand: str


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that stay or go together.

    `frozen` are the reasons why none may be removed (empty: any may, as long as one is left). `producers` make the
    channels, `consumers` sum over them; nodes that hand them on one by one are neither.
    """

    index: int
    length: int
    frozen: tuple[str, ...]
    producers: tuple[Node, ...]
    consumers: tuple[Node, ...]
    constants: tuple[ConstantAxis, ...]

    @property
    def is_free(self) -> bool:
        """Whether channels may be removed."""
        return not self.frozen and self.length > 1


@dataclass(frozen=True)
class AttributeUse:
    """An attribute, or one entry of it, that counts the positions before `position` along a dimension."""

    node: Node
    attribute: str
    entry: int | None
    segments: Segments
    position: int


@dataclass(frozen=True, eq=False)
class ChannelStructure:
    """The channel groups of a graph at one state of it (`version`).

    `axes` maps a value to its axes that carry channels, constants included; other axes (batch, pixels, filter taps)
    are not listed. `opaque` says of the values without such an axis why they have none.
    """

    graph: Graph = field(repr=False)
    version: int
    groups: tuple[ChannelGroup, ...]
    axes: Mapping[Value, Mapping[int, Segments]] = field(repr=False)
    opaque: Mapping[Value, str] = field(repr=False)
    attributes: tuple[AttributeUse, ...] = field(repr=False)

    @property
    def free_groups(self) -> tuple[ChannelGroup, ...]:
        """The groups from which channels may be removed."""
        return tuple(group for group in self.groups if group.is_free)

    def channel_axis(self, value: Value) -> int | None:
        """The axis of a value that carries channels, the last one of several; None when the value is opaque."""
        return max(self.axes.get(value, ()), default=None)

    def segments(self, value: Value, axis: int | None = None) -> Segments:
        """What stands along an axis (default: the channel axis); raises UsageError when that carries no channels."""
        axes = self.axes.get(value, {})
        wanted = self.channel_axis(value) if axis is None else axis
        if wanted is None:
            raise UsageError(f"{value!r} has no channel axis: {self.opaque.get(value, 'not of this graph')}")
        if wanted not in axes:
            raise UsageError(f"axis {wanted} of {value!r} carries no channels; accepted: {choices_text(axes)}")
        return axes[wanted]

    def groups_of(self, value: Value, axis: int | None = None) -> tuple[ChannelGroup, ...]:
        """The groups along an axis, in order of first occurrence."""
        return tuple(self.groups[i] for i in dict.fromkeys(s.group for s in self.segments(value, axis)))

    def positions(self, value: Value, group: int, axis: int | None = None) -> NDArray[np.int64]:
        """Where each channel of a group stands along an axis: [channels, occurrences]."""
        return positions(self.segments(value, axis), group)


def positions(segments: Segments, group: int) -> NDArray[np.int64]:
    """Where each channel of a group stands in a list of segments: [channels, occurrences]."""
    found, start = [], 0
    for segment in segments:
        if segment.group == group:
            found.append(start + np.arange(segment.size).reshape(segment.length, segment.repeat))
        start += segment.size
    return np.concatenate(found, axis=1) if found else np.empty((0, 0), np.int64)
