"""The channel-structure analysis: which channels of a graph stay or go together."""

from __future__ import annotations

from collections.abc import Iterable

from nascompiler.ir.channels import layers, movement, spans
from nascompiler.ir.channels.flow import Facts, Flow, NotFollowed, Rule, pattern_of, renamed
from nascompiler.ir.channels.spans import Misaligned, Pattern, Span
from nascompiler.ir.channels.structure import (
    AttributeUse,
    ChannelGroup,
    ChannelStructure,
    ConstantAxis,
    Segment,
    Segments,
)
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import OpDef, Trait

RULES: dict[str, Rule] = {**layers.RULES, **movement.RULES}


def channel_structure(graph: Graph) -> ChannelStructure:
    """The channel groups of a graph of nn and qnn; cells and nodes of other dialects are opaque unless they say more.

    One sweep over the nodes applies the rule of each op (`OpDef.channels`, else the one here, else element by element
    where the op is so). What leaves the graph, and what some node uses in a way that no rule accounts for, is frozen.
    Takes time about linear in the number of nodes; the same graph always gives the same numbering.
    """
    facts = Facts()
    for value in graph.inputs:
        _follow_input(facts, value)
    opaque: dict[Node, str] = {}
    for node in graph.nodes:
        reason = _follow(facts, node)
        if reason is not None:
            opaque[node] = reason
    _freeze_what_is_not_accounted_for(facts, graph, opaque)
    return _Numbering(facts).structure(graph, opaque)


def rule_of(op: OpDef) -> Rule | None:
    """How channels flow through an op; None when nothing is known about it."""
    rule = op.channels or RULES.get(op.name)
    return movement.elementwise if rule is None and op.has(Trait.ELEMENTWISE) else rule


def _follow_input(facts: Facts, value: Value) -> None:
    """Channels of an input stand last, or where a transpose fetches them from (a model with NCHW inputs)."""
    rank = value.type.rank
    if rank is None or rank < 2:
        return
    axis = rank - 1
    for user in value.users:
        if user.op.name == "nn.transpose":
            axis = user["permutation"][-1]
    try:
        pattern_of(facts, value, axis)
    except NotFollowed:
        return


def _follow(facts: Facts, node: Node) -> str | None:
    """Apply the rule of a node; returns why its channels are not followed, if they are not."""
    rule = rule_of(node.op)
    flow = Flow(node, facts)
    reason = f"{node.op.name} has no rule for channels" if rule is None else None
    if rule is not None:
        try:
            rule(flow)
            flow.commit()
        except NotFollowed as error:
            reason = f"{node.op.name}: {error}"
        except Misaligned:
            reason = f"{node.op.name} would divide channels that belong together"
    for value in node.results:
        rank = value.type.rank or 0
        stands_for_reals = value.type.dtype.is_float or value.type.quantization is not None
        if value in facts.axes or rank < 2 or not stands_for_reals or renamed(value, rank - 1) is not None:
            continue
        width = value.type.shape[-1] if value.type.shape else None
        if isinstance(width, int):
            why = reason or f"{node.op.name} does not keep its channels apart"
            facts.axes[value] = {rank - 1: spans.fresh(width, why)}
    return reason


def _freeze_what_is_not_accounted_for(facts: Facts, graph: Graph, opaque: dict[Node, str]) -> None:
    for node in graph.nodes:
        for index, value in enumerate(node.operands):
            for axis, pattern in facts.axes.get(value, {}).items():
                if (node, index, axis) not in facts.taken:
                    spans.freeze(pattern, opaque.get(node) or f"{node.op.name} needs all of axis {axis}")
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        for pattern in facts.axes.get(value, {}).values():
            spans.freeze(pattern, f"graph output {name!r}")


class _Numbering:
    """Turns spans into numbered groups, in the order in which they appear."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.indices: dict[Span, int] = {}
        self.cache: dict[int, tuple[Pattern, Segments]] = {}

    def segments(self, pattern: Pattern) -> Segments:
        known = self.cache.get(id(pattern))
        if known is not None:
            return known[1]
        found = tuple(
            Segment(self.indices.setdefault(span, len(self.indices)), span.length, repeat)
            for span, repeat in spans.resolve(pattern)
        )
        self.cache[id(pattern)] = (pattern, found)  # which keeps the id taken
        return found

    def structure(self, graph: Graph, opaque: dict[Node, str]) -> ChannelStructure:
        axes: dict[Value, dict[int, Segments]] = {}
        unknown: dict[Value, str] = {}
        for value in _values(graph):
            followed = self.facts.axes.get(value)
            if followed:
                axes[value] = {axis: self.segments(pattern) for axis, pattern in sorted(followed.items())}
            else:
                unknown[value] = _why_opaque(value, opaque)
        return ChannelStructure(
            graph=graph,
            version=graph.version,
            groups=self._groups(axes),
            axes=axes,
            opaque=unknown,
            attributes=tuple(
                AttributeUse(use.node, use.attribute, use.entry, self.segments(use.pattern), use.position)
                for use in self.facts.attributes
            ),
        )

    def _groups(self, axes: dict[Value, dict[int, Segments]]) -> tuple[ChannelGroup, ...]:
        producers = self._members(self.facts.producers)
        consumers = self._members(self.facts.consumers)
        constants: dict[int, dict[ConstantAxis, None]] = {}
        for use in self.facts.constants:
            for group in _distinct(axes[use.value][use.axis]):
                constants.setdefault(group, {})[use] = None
        return tuple(
            ChannelGroup(
                index=index,
                length=span.length,
                frozen=tuple(span.frozen),
                producers=tuple(producers.get(index, ())),
                consumers=tuple(consumers.get(index, ())),
                constants=tuple(constants.get(index, ())),
            )
            for span, index in self.indices.items()
        )

    def _members(self, found: Iterable[tuple[Node, Pattern]]) -> dict[int, dict[Node, None]]:
        members: dict[int, dict[Node, None]] = {}
        for node, pattern in found:
            for group in _distinct(self.segments(pattern)):
                members.setdefault(group, {})[node] = None
        return members


def _distinct(segments: Segments) -> dict[int, None]:
    return dict.fromkeys(segment.group for segment in segments)


def _values(graph: Graph) -> dict[Value, None]:
    """Every value once: inputs, then for each node the constants it uses and its results."""
    values = dict.fromkeys(graph.inputs)
    for node in graph.nodes:
        values.update((value, None) for value in node.operands if value.is_constant)
        values.update((value, None) for value in node.results)
    values.update((value, None) for value in graph.outputs)
    return values


def _why_opaque(value: Value, opaque: dict[Node, str]) -> str:
    if value.type.rank is None:
        return "its rank is not known"
    if value.is_constant:
        return "no layer uses it channel by channel"
    if value.producer is not None and value.producer in opaque:
        return opaque[value.producer]
    if value.type.shape and not isinstance(value.type.shape[-1], int):
        return "the number of channels is open"
    return "no channels pass through it"
