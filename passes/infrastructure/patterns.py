"""Patterns over the operands of a node, and what they match.

op("nn.batch_norm", op("nn.conv2d", anything("x"), constant("w"), name="conv", single_use=True), ...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nascompiler.ir import Array, Node, Trait, Value


@dataclass(frozen=True)
class Pattern:
    """A value to match: by the op that makes it, by being constant, by a test; `name` binds it.

    With `single_use`, the value must have no other user, or the rule misses with that reason.
    """

    ops: frozenset[str] | None = None
    operands: tuple[Pattern, ...] | None = None
    name: str = ""
    constant: bool = False
    equal_to: float | None = None
    single_use: bool = False
    attributes: tuple[tuple[str, Any], ...] = ()


def anything(name: str = "") -> Pattern:
    """Any value."""
    return Pattern(name=name)


def constant(name: str = "", *, equal_to: float | None = None) -> Pattern:
    """A constant whose values are known, all equal to `equal_to` if that is given (within 1e-6 relative)."""
    return Pattern(name=name, constant=True, equal_to=equal_to)


def op(
    ops: str | tuple[str, ...], *operands: Pattern, name: str = "", single_use: bool = False, **attributes: Any
) -> Pattern:
    """A result of one of `ops` with matching first operands (in either order where the op commutes) and attributes.

    An op with a fused activation matches only where `activation` is among the attributes given: rules are about the op
    alone unless they say otherwise.
    """
    names = frozenset([ops] if isinstance(ops, str) else ops)
    return Pattern(names, operands, name, single_use=single_use, attributes=tuple(attributes.items()))


@dataclass
class Match:
    """The values bound by the names of a pattern, and the nodes that matched, root first."""

    root: Node
    values: dict[str, Value] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    shared: list[Value] = field(default_factory=list)
    """Values that the pattern wants for itself but that have other users."""

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def node(self, name: str) -> Node:
        """The node whose result is bound to `name`."""
        producer = self.values[name].producer
        assert producer is not None
        return producer

    def array(self, name: str) -> Array:
        """The array of the constant bound to `name`."""
        array = self.values[name].array
        assert array is not None
        return array


def match(pattern: Pattern, node: Node) -> Match | None:
    """The first way in which the pattern fits the node, or None."""
    return next(matches(pattern, node), None)


def matches(pattern: Pattern, node: Node) -> Iterator[Match]:
    """Every way in which the pattern fits the node. A name that occurs twice must match the same value twice.

    It is one object that changes from one to the next: look at each before asking for another.
    """
    if not node.results or not _may_fit(pattern, node.results[0]):
        return
    found = Match(node)
    for value in node.results[:1]:
        for _ in _fits(pattern, value, found, is_root=True):
            yield found


def _may_fit(pattern: Pattern, value: Value) -> bool:
    """Whether ops and constants are where the pattern wants them, whatever the names: most nodes are told so."""
    if pattern.ops is not None:
        node = value.producer
        if node is None or node.op.name not in pattern.ops:
            return False
        wanted = pattern.operands
        if wanted:
            operands = node.operands
            if len(operands) < len(wanted):
                return False
            if not all(map(_may_fit, wanted, operands)) and not (
                len(operands) == 2 and node.op.has(Trait.COMMUTATIVE) and all(map(_may_fit, wanted, reversed(operands)))
            ):
                return False
    return not pattern.constant or value.has_array


def _fits(pattern: Pattern, value: Value, found: Match, *, is_root: bool = False) -> Iterator[None]:
    """Yields once for each way to fit, with `found` filled in; undoes its entries when asked for the next one."""
    if pattern.name and found.values.get(pattern.name, value) is not value:
        return
    if pattern.constant and not _is_constant(pattern, value):
        return
    marks = (len(found.nodes), len(found.shared), dict(found.values))
    if pattern.name:
        found.values[pattern.name] = value
    if pattern.ops is None:
        yield None
    else:
        node = value.producer
        if node is not None and node.op.name in pattern.ops and _attributes_fit(pattern, node):
            found.nodes.append(node)
            if pattern.single_use and not is_root and value.use_count != 1:
                found.shared.append(value)
            for operands in _orders(pattern, node):
                yield from _fit_all(pattern.operands or (), operands, found)
    del found.nodes[marks[0] :], found.shared[marks[1] :]
    found.values.clear()
    found.values.update(marks[2])


def _fit_all(patterns: tuple[Pattern, ...], values: tuple[Value, ...], found: Match) -> Iterator[None]:
    if not patterns:
        yield None
    elif values:
        for _ in _fits(patterns[0], values[0], found):
            yield from _fit_all(patterns[1:], values[1:], found)


def _orders(pattern: Pattern, node: Node) -> Iterator[tuple[Value, ...]]:
    yield node.operands
    if node.op.has(Trait.COMMUTATIVE) and len(node.operands) == 2 and pattern.operands:
        yield node.operands[::-1]


def _attributes_fit(pattern: Pattern, node: Node) -> bool:
    if node.op.dialect != "arch" and node.op.is_open(node.attributes):
        return False  # rules read attributes, and here one waits for a choice
    if has_fused_activation(node) and not any(name == "activation" for name, _ in pattern.attributes):
        return False
    return all(name in node.attributes and node.attributes[name] == value for name, value in pattern.attributes)


def has_fused_activation(node: Node) -> bool:
    """Whether an op whose definition is the op alone applies an activation to its result."""
    declared = node.op.attribute("activation")
    return declared is not None and declared.default == "none" and node["activation"] != "none"


def _is_constant(pattern: Pattern, value: Value) -> bool:
    if not value.has_array:
        return False
    wanted = pattern.equal_to
    if wanted is None:
        return True
    array = value.array
    assert array is not None
    return bool(array.size and np.allclose(array.astype(np.float64), wanted, rtol=1e-6, atol=0))


Check = Callable[[Match], str | None]
