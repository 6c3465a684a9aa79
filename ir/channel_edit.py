"""Removing channels from a graph: every constant, attribute and type that they touch, at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.attributes import Attribute
from nascompiler.ir.channels.analysis import channel_structure
from nascompiler.ir.channels.structure import ChannelGroup, ChannelStructure, Segments
from nascompiler.ir.constant import Constant
from nascompiler.ir.errors import UsageError
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.types import Array, TensorType
from nascompiler.ir.verify import verify

Indices = Sequence[int] | NDArray[np.integer]
Positions = NDArray[np.int64]


def remove_channels(graph: Graph, keep: Mapping[int, Indices], structure: ChannelStructure | None = None) -> None:
    """Keep only the given channels of the given groups, in place; other groups stay as they are.

    `keep` maps the number of a group to the indices of the channels that stay, in the order in which they then stand
    (so that all of them in another order permute the group). `structure` is that of the graph as it is; it is computed
    when not given, with the numbers that it also has in the graph that this one was cloned from.

    The result computes what the graph computed with the removed channels of every value and constant set to zero, up
    to the order of sums. Constants are sliced when they are first read. Raises UsageError that lists every group that
    is unknown or frozen and every index that does not fit, before anything is changed; VerificationError for a graph
    that was not valid.
    """
    structure = structure or channel_structure(graph)
    if structure.graph is not graph:
        raise UsageError("the channel structure is that of another graph; compute it again")
    kept = _checked(structure, keep)
    if kept:
        _remove(graph, structure, kept, {})


def without_channels(structure: ChannelStructure, keep: Mapping[int, Indices]) -> Graph:
    """A copy of the structure's graph with only the given channels of the given groups; see `remove_channels`.

    Trying many selections on one graph analyses it only once this way.
    """
    kept = _checked(structure, keep)
    copy, moved = structure.graph.clone_with_map()
    if kept:
        _remove(copy, structure, kept, moved)
    return copy


def with_channel_counts(structure: ChannelStructure, counts: Mapping[int, int]) -> Graph:
    """A copy of the structure's graph whose free groups have so many channels, more or fewer, by their numbers.

    The first ones stay, and where there are to be more they come again from the first on: the copy serves to see what
    depends on sizes, not on values. Raises UsageError as `remove_channels` does.
    """
    fewer = {group: range(min(count, structure.groups[group].length)) for group, count in counts.items()}
    _checked(structure, fewer)
    frozen = [group for group in counts if structure.groups[group].frozen]
    if frozen:
        raise UsageError(f"these groups are frozen: {', '.join(map(str, frozen))}")
    kept = {group: np.arange(count) % structure.groups[group].length for group, count in counts.items()}
    copy, moved = structure.graph.clone_with_map()
    _remove(copy, structure, kept, moved)
    return copy


def _remove(
    graph: Graph, structure: ChannelStructure, kept: Mapping[int, Positions], moved: Mapping[Value, Value]
) -> None:
    """Slice constants, types and attributes of `graph`, in which the values of the structure have `moved`."""
    selection = _Selection(kept)
    for original, axes in structure.axes.items():
        chosen = {axis: found for axis, segments in axes.items() if (found := selection.of(segments)) is not None}
        if not chosen:
            continue
        value = moved.get(original, original)
        if value.constant is not None:
            _replace_constant(graph, value, chosen)
        else:
            graph.set_type(value, _sliced_type(value.type, chosen))
    _count_again(graph, structure, selection, moved)
    verify(graph)  # which infers every type again, and compares


def _checked(structure: ChannelStructure, keep: Mapping[int, Indices]) -> dict[int, Positions]:
    """The indices by group; groups that keep every channel in place are left out."""
    if structure.version != structure.graph.version:
        raise UsageError("the graph has changed since its channel structure was computed; compute it again")
    kept: dict[int, Positions] = {}
    problems: list[str] = []
    for index, indices in keep.items():
        if not 0 <= index < len(structure.groups):
            problems.append(f"there is no group {index}; groups: 0 to {len(structure.groups) - 1}")
            continue
        group = structure.groups[index]
        wanted = np.asarray(indices)
        problem = _problem(group, wanted)
        if problem:
            problems.append(f"group {index} ({group.length} channels): {problem}")
        elif not np.array_equal(wanted, np.arange(group.length)):
            kept[index] = wanted.astype(np.int64)
            if group.frozen:
                problems.append(f"group {index} ({group.length} channels) is frozen: {'; '.join(group.frozen)}")
    if kept and (missing := [v for v in structure.axes if v.constant is not None and v.constant.is_placeholder]):
        problems.append(f"the values of {missing[0]!r} are not loaded: give the weights file")
    if problems:
        raise UsageError("these channels cannot be removed: " + "\n  ".join(["", *problems]).rstrip())
    return kept


def _problem(group: ChannelGroup, wanted: Array) -> str:
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
        return "the indices to keep must be a list of integers" if wanted.size else "at least one channel must stay"
    if np.any(np.less(wanted, 0) | np.greater_equal(wanted, group.length)):
        return f"indices to keep must be from 0 to {group.length - 1}"
    if len(np.unique(wanted)) != len(wanted):
        return "an index to keep occurs twice"
    return ""


class _Selection:
    """Which positions of a dimension stay."""

    def __init__(self, kept: Mapping[int, Positions]) -> None:
        self.kept = kept
        self.cache: dict[Segments, Positions | None] = {}

    def of(self, segments: Segments) -> Positions | None:
        """The positions that stay, None when nothing changes."""
        if segments not in self.cache:
            self.cache[segments] = self._of(segments)
        return self.cache[segments]

    def _of(self, segments: Segments) -> Positions | None:
        if not any(segment.group in self.kept for segment in segments):
            return None
        found, start = [], 0
        for segment in segments:
            places = start + np.arange(segment.size).reshape(segment.length, segment.repeat)
            chosen = self.kept.get(segment.group)
            found.append((places if chosen is None else places[chosen]).reshape(-1))
            start += segment.size
        return np.concatenate(found)


def _replace_constant(graph: Graph, value: Value, chosen: Mapping[int, Positions]) -> None:
    constant = value.constant
    assert constant is not None

    def make() -> Array:
        array = constant.array
        for axis, places in chosen.items():
            array = array.take(places, axis)
        return array

    sliced = Constant.lazy(_sliced_type(constant.type, chosen), make)
    graph.replace_all_uses(value, graph.constant(sliced, value.name))


def _sliced_type(type: TensorType, chosen: Mapping[int, Positions]) -> TensorType:
    shape = list(type.shape or ())
    quantization = type.quantization
    for axis, places in chosen.items():
        shape[axis] = len(places)
        if quantization is not None and quantization.axis == axis:
            quantization = replace(
                quantization,
                scale=tuple(quantization.scale[i] for i in places),
                zero_point=tuple(quantization.zero_point[i] for i in places),
            )
    return replace(type, shape=tuple(shape), quantization=quantization)


def _count_again(
    graph: Graph, structure: ChannelStructure, selection: _Selection, moved: Mapping[Value, Value]
) -> None:
    """Bring the attributes up to date that count channels."""
    changed: dict[Node, dict[str, Attribute]] = {}
    for use in structure.attributes:
        places = selection.of(use.segments)
        if places is None:
            continue
        count = int(np.count_nonzero(places < use.position))
        result = use.node.results[0]
        node = moved.get(result, result).producer
        assert node is not None
        attributes = changed.setdefault(node, {})
        if use.entry is None:
            attributes[use.attribute] = count
            continue
        entries = attributes.get(use.attribute, node[use.attribute])
        assert isinstance(entries, tuple)
        attributes[use.attribute] = (*entries[: use.entry], count, *entries[use.entry + 1 :])
    for node, attributes in changed.items():
        graph.set_attributes(node, **attributes)
