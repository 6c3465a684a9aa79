"""How channels flow through one node, as the rule of its op states it.

A rule is a function of a `Flow`. It *takes* axes of operands, unifies what must be the same, and *gives* axes of
results. Whatever carries channels and was not taken by the rule of every node that uses it is frozen afterwards, so
that a rule, or an op without one, cannot go wrong by leaving something out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nascompiler.ir.channels import spans
from nascompiler.ir.channels.spans import Pattern
from nascompiler.ir.channels.structure import ConstantAxis, Role
from nascompiler.ir.graph import Node, Value
from nascompiler.ir.ops import Trait
from nascompiler.ir.types import Dim

Axes = dict[int, Pattern]


class NotFollowed(Exception):
    """The rule cannot say how channels flow here; the message says why."""


@dataclass(frozen=True)
class CountingAttribute:
    """An attribute of a node, or an entry of it, that counts the first positions of a pattern."""

    node: Node
    attribute: str
    entry: int | None
    pattern: Pattern
    position: int


@dataclass
class Facts:
    """What is known of a graph so far."""

    axes: dict[Value, Axes] = field(default_factory=dict)
    taken: set[tuple[Node, int, int]] = field(default_factory=set)
    """(node, operand index, axis) that a rule has accounted for."""
    constants: list[ConstantAxis] = field(default_factory=list)
    producers: list[tuple[Node, Pattern]] = field(default_factory=list)
    consumers: list[tuple[Node, Pattern]] = field(default_factory=list)
    attributes: list[CountingAttribute] = field(default_factory=list)


@dataclass
class Flow:
    """One node and the channels of its operands; see the module."""

    node: Node
    facts: Facts
    found: Facts = field(default_factory=Facts)
    """What the rule has said; it counts once the rule has come to its end."""

    def __getitem__(self, attribute: str) -> Any:
        return self.node[attribute]

    # -- operands

    @property
    def operand_count(self) -> int:
        return len(self.node.operands)

    def has(self, operand: int) -> bool:
        return operand < len(self.node.operands)

    def shape(self, operand: int = 0) -> tuple[Dim, ...]:
        """The shape of an operand; raises NotFollowed when not even its rank is known."""
        shape = self.node.operands[operand].type.shape
        if shape is None:
            raise NotFollowed("the rank is not known")
        return shape

    def tracked(self, operand: int = 0) -> list[int]:
        """The axes of an operand that are known to carry channels."""
        return sorted(self.facts.axes.get(self.node.operands[operand], ()))

    def carries(self, operand: int, axis: int) -> bool:
        return axis in self.facts.axes.get(self.node.operands[operand], ())

    def peek(self, operand: int, axis: int) -> Pattern:
        """What stands along an axis that carries channels, without accounting for it."""
        return self.facts.axes[self.node.operands[operand]][axis]

    def take(self, operand: int, axis: int, role: Role = Role.EACH) -> Pattern:
        """Account for an axis of an operand; negative axes count from the end. Raises NotFollowed for an open size."""
        value = self.node.operands[operand]
        axis %= max(1, len(self.shape(operand)))
        pattern = pattern_of(self.facts, value, axis)
        self.found.taken.add((self.node, operand, axis))
        if value.is_constant:
            declared = self.node.op.operand_at(operand)
            name = declared.name if declared is not None else str(operand)
            self.found.constants.append(ConstantAxis(value, axis, role, self.node, name))
        if role is Role.INPUT and not value.is_constant:
            self.consume(pattern)
        return pattern

    # -- results

    def give(self, axis: int, pattern: Pattern, *, result: int = 0) -> None:
        """Say what stands along an axis of a result; negative axes count from the end."""
        value = self.node.results[result]
        rank = value.type.rank
        if rank is None:
            raise NotFollowed("the rank is not known")
        self.found.axes.setdefault(value, {})[axis % rank] = pattern

    def produce(self, axis: int, pattern: Pattern, *, result: int = 0) -> None:
        """As `give`, and the channels are made here."""
        self.give(axis, pattern, result=result)
        self.make(pattern)

    def make(self, pattern: Pattern) -> None:
        """Say that the node makes these channels, be it inside or as part of a result."""
        self.found.producers.append((self.node, pattern))

    def consume(self, pattern: Pattern) -> None:
        """Say that the node sums over these channels."""
        self.found.consumers.append((self.node, pattern))

    # -- both

    def unify(self, *patterns: Pattern) -> Pattern:
        """Let patterns be the same from now on; returns one of them."""
        for other in patterns[1:]:
            if other is not patterns[0]:
                spans.unify(patterns[0], other)
        return patterns[0]

    def divide(self, pattern: Pattern, sizes: Sequence[int]) -> list[Pattern]:
        return spans.divide(pattern, sizes)

    def tie(self, pattern: Pattern, count: int) -> Pattern:
        """Let the `count` equal parts of a pattern be the same from now on; returns one of them."""
        if count == 1:
            return pattern
        length = spans.size(pattern) // count
        return self.unify(*self.divide(pattern, [length] * count))

    def counts(self, name: str, pattern: Pattern, position: int | None = None, *, entry: int | None = None) -> None:
        """Say that an attribute, or an entry of it, is the number of positions before `position` (default: of all)."""
        end = spans.size(pattern) if position is None else position
        self.found.attributes.append(CountingAttribute(self.node, name, entry, pattern, end))

    def commit(self) -> None:
        """Make what the rule has said known."""
        self.facts.axes.update(self.found.axes)
        self.facts.taken |= self.found.taken
        self.facts.constants += self.found.constants
        self.facts.producers += self.found.producers
        self.facts.consumers += self.found.consumers
        self.facts.attributes += self.found.attributes


Rule = Callable[[Flow], None]


def pattern_of(facts: Facts, value: Value, axis: int) -> Pattern:
    """What stands along an axis of a value; raises NotFollowed when its size is open.

    An axis that was not followed until now gets a new span: a free one when it leads back to a constant through ops
    that only rename axes, else a frozen one.
    """
    path = [(value, axis)]
    while axis not in facts.axes.get(value, ()):
        before = renamed(value, axis)
        if before is None:
            length = value.type.shape[axis] if value.type.shape is not None else None
            if not isinstance(length, int):
                raise NotFollowed(f"the size of axis {axis} of {value!r} is open")
            facts.axes.setdefault(value, {})[axis] = _first_pattern(value, axis, length)
            break
        value, axis = before
        path.append(before)
    pattern = facts.axes[value][axis]
    while path:
        followed, at = path.pop()
        facts.axes.setdefault(followed, {})[at] = pattern
        if path:
            user = path[-1][0].producer
            assert user is not None
            facts.taken.add((user, 0, at))
            if followed.is_constant:
                facts.constants.append(ConstantAxis(followed, at, Role.EACH, user, user.op.operands[0].name))
    return pattern


def _first_pattern(value: Value, axis: int, length: int) -> Pattern:
    if value.is_constant:
        return spans.fresh(length)
    if value.is_input:
        return spans.fresh(length, f"graph input {value.name!r}")
    assert value.producer is not None
    return spans.fresh(length, f"axis {axis} of what {value.producer.op.name} makes is not followed")


def renamed(value: Value, axis: int) -> tuple[Value, int] | None:
    """The operand and axis that an axis of a value is, when the op does no more than rename axes."""
    node = value.producer
    if node is None or not node.operands or node.operands[0].type.rank is None:
        return None
    if node.op.name == "nn.transpose":
        return node.operands[0], node["permutation"][axis]
    if len(node.operands) == 1 and node.op.has(Trait.ELEMENTWISE):
        return node.operands[0], axis
    return None
