"""What becomes integer: the nodes, the values that need a scale, and those that share one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf

from nascompiler.ir import DType, Graph, Node, Value
from nascompiler.passes.quantization.forms import Form, absorbs, activations, form_of


@dataclass(frozen=True)
class Plan:
    """Decisions about a prepared float graph, made before any number is known.

    A value is quantised when an integer node takes it; what only float nodes take stays in float, and a sum then gives
    its accumulators as float32.
    """

    graph: Graph
    integer: frozenset[Node]
    absorbed: dict[Node, Node]
    """Activation -> the node that applies it before it rounds."""
    reasons: dict[Node, str]
    """Why each other node stays in float."""
    values: dict[Value, DType]
    """The values to be quantised, in topological order, with their integer type."""
    groups: tuple[tuple[Value, ...], ...]
    """Values that share scale and zero point, each in one group; a group of its own for most."""
    limits: dict[Value, tuple[float, float]] = field(default_factory=dict)
    """Beyond these limits every consumer of the value saturates: a range need not be wider."""
    kept: frozenset[Node] = frozenset()
    """Nodes that stay in float because they were asked to."""
    narrowed: frozenset[Node] = frozenset()
    """Tables whose operand has 16 bits, of which the upper 8 are looked up."""

    @property
    def sums(self) -> list[Node]:
        """The integer convolutions and matrix products, in topological order."""
        return [n for n in self.graph.nodes if n in self.integer and form_of(n) is Form.SUM]


def make_plan(
    graph: Graph,
    *,
    dtype: DType = DType.I8,
    tables: bool = False,
    byte_tables: bool = False,
    whole: bool = False,
    keep_float: Collection[Node] = (),
    wide: Collection[Node] = (),
) -> Plan:
    """Plan the quantisation of a prepared graph (see `preparation.prepare`).

    `dtype` is the type of activations, i16 that of the activations which nodes in `wide` take and make. Nodes in
    `keep_float` stay in float; their operands and results are still quantised where other nodes need integers. With
    `tables`, hard_swish and hard_sigmoid behind a sum are tables behind a rounding, as accelerators have them, else
    part of the sum in float32. With `byte_tables` no table has more than 256 entries: what is looked up has 8 bits,
    whatever else has 16. With `whole`, what makes the graph's outputs is integer too where it can be; without it it
    stays in float, as no integer node wants it. Sums give their results in float either way.
    """
    forms = {node: form_of(node) for node in graph.nodes}
    reasons = {node: form for node, form in forms.items() if isinstance(form, str)}
    reasons |= dict.fromkeys(keep_float, "kept in float as asked")
    possible = {node for node in graph.nodes if node not in reasons}
    absorbed: dict[Node, Node] = {}
    for node in graph.nodes:
        activation = absorbs(node, tables=tables) if node in possible else None
        if activation is not None and activation in possible:
            absorbed[activation] = node
    wanted = {v for v in graph.outputs if whole and not _is_sum(v, forms, absorbed)}
    integer = _integer(graph, possible, absorbed, forms, wanted)
    absorbed = {a: n for a, n in absorbed.items() if n in integer}
    reasons |= dict.fromkeys(possible - integer - absorbed.keys(), "its result or its operands are float")
    taken = _taken(graph, integer, absorbed, wanted)
    ends = {v: absorbed_end(v, absorbed) for n in integer for v in n.results}
    groups = _groups(graph, integer, forms, taken)
    widened = {v for n in wide for v in (*activations(n), *(ends.get(r, r) for r in n.results))}
    types = {v: DType.I16 if widened.intersection(group) else dtype for group in groups for v in group}
    narrowed: set[Node] = set()
    if byte_tables:
        lookups = {n for n in integer if forms[n] is Form.LOOKUP}
        types |= {v: DType.I8 for group in groups if _only_looked_up(group, lookups, integer, forms) for v in group}
        narrowed = {n for n in lookups if types[n.operands[0]].bytes == 2}
    values = {v: types[v] for v in taken}
    saturation = _saturation(graph, forms, values)
    limits = {v: saturation[v] for v in taken if saturation[v] != ENDLESS}
    kept = frozenset(keep_float) - {node for node in keep_float if isinstance(forms[node], str)}
    return Plan(graph, frozenset(integer), absorbed, reasons, values, tuple(groups), limits, kept, frozenset(narrowed))


def _only_looked_up(
    group: tuple[Value, ...], lookups: set[Node], integer: set[Node], forms: dict[Node, Form | str]
) -> bool:
    """Whether values that share a scale are wanted by tables alone, maybe after they were moved."""
    users = [user for value in group for user in value.users]
    moving = {u for u in users if u in integer and forms[u] is Form.PASSIVE and set(u.results) <= set(group)}
    return not any(v.is_output for v in group) and all(u in lookups or u in moving for u in users)


def absorbed_end(value: Value, absorbed: dict[Node, Node]) -> Value:
    """The result of the activation that is applied to a value before it is rounded, or the value itself."""
    user = value.sole_user
    return user.results[0] if user is not None and user in absorbed and absorbed[user] is value.producer else value


def _is_sum(value: Value, forms: dict[Node, Form | str], absorbed: dict[Node, Node]) -> bool:
    """Whether a value is the result of a sum, or of the activation behind one."""
    maker = value.producer
    return maker is not None and forms[absorbed.get(maker, maker)] is Form.SUM


def _integer(
    graph: Graph,
    possible: set[Node],
    absorbed: dict[Node, Node],
    forms: dict[Node, Form | str],
    wanted: Collection[Value],
) -> set[Node]:
    """Sums, and whatever lies between integers: fed by one that is integer, and wanted as an integer.

    Starting from all that is possible, nodes without such neighbours leave until none is left to leave.
    """
    chosen = possible - absorbed.keys()
    nodes = [n for n in graph.nodes if n in chosen]
    changed = True
    while changed:
        changed = False
        for sweep in (nodes, reversed(nodes)):
            for node in sweep:
                if node in chosen and forms[node] is not Form.SUM and not _between(node, chosen, absorbed, wanted):
                    chosen.discard(node)
                    changed = True
    return chosen


def _between(node: Node, chosen: set[Node], absorbed: dict[Node, Node], wanted: Collection[Value]) -> bool:
    def source(value: Value) -> Node | None:
        producer = value.producer
        return absorbed.get(producer, producer) if producer is not None else None

    fed = any(source(v) in chosen for v in activations(node))
    ends = [absorbed_end(v, absorbed) for v in node.results]
    return fed and all(end in wanted or any(user in chosen for user in end.users) for end in ends)


def _taken(graph: Graph, integer: set[Node], absorbed: dict[Node, Node], wanted: Collection[Value]) -> list[Value]:
    """The values that integer nodes take, in the order of their first use, constants among them; and outputs that are
    wanted as integers."""
    taken: dict[Value, None] = {}
    for node in graph.nodes:
        if node in integer:
            taken.update((v, None) for v in activations(node))
    made = {absorbed_end(v, absorbed) for n in integer for v in n.results}
    taken.update((v, None) for v in graph.outputs if v in wanted and v in made)
    return list(taken)


def _groups(
    graph: Graph, integer: set[Node], forms: dict[Node, Form | str], taken: list[Value]
) -> list[tuple[Value, ...]]:
    """Values joined by nodes that only move numbers, and by average pooling, whose result lies within its operand."""
    leader: dict[Value, Value] = {v: v for v in taken}

    def find(value: Value) -> Value:
        while leader[value] is not value:
            leader[value] = leader[leader[value]]
            value = leader[value]
        return value

    for node in graph.nodes:
        if node not in integer or not (forms[node] is Form.PASSIVE or node.op.name == "nn.average_pool2d"):
            continue
        first, *others = (v for v in (*activations(node), *node.results) if v in leader)
        for other in others:
            leader[find(other)] = find(first)
    groups: dict[Value, list[Value]] = {}
    for value in taken:
        groups.setdefault(find(value), []).append(value)
    return [tuple(group) for group in groups.values()]


def _saturation(
    graph: Graph, forms: dict[Node, Form | str], values: dict[Value, DType]
) -> dict[Value, tuple[float, float]]:
    """For each value, outside of which interval all its users give what they give at the interval's ends.

    What only moves or selects numbers is seen through.
    """
    limits: dict[Value, tuple[float, float]] = {}

    def limits_of(value: Value) -> tuple[float, float]:
        users = value.users
        if value.is_output or not users:
            return ENDLESS
        by_user = [_saturation_of(user, forms[user], limits, values) for user in users]
        low, high = min(low for low, _ in by_user), max(high for _, high in by_user)
        return (low, high) if low <= 0 <= high else ENDLESS  # 0 stays exact, and padding is 0

    for node in reversed(list(graph.nodes)):
        limits.update((v, limits_of(v)) for v in node.results)
        limits.update((v, limits_of(v)) for v in node.operands if v.is_constant)
    limits.update((v, limits_of(v)) for v in graph.inputs)
    return limits


def _saturation_of(
    user: Node, form: Form | str, limits: dict[Value, tuple[float, float]], values: dict[Value, DType]
) -> tuple[float, float]:
    name = user.op.name
    if form is Form.PASSIVE:
        ends = [limits[v] for v in user.results]
        return min(low for low, _ in ends), max(high for _, high in ends)
    if name == "nn.hard_sigmoid" and user["alpha"] > 0:
        return -user["beta"] / user["alpha"], (1 - user["beta"]) / user["alpha"]
    if name in _FLAT and user.results[0] in values:
        reach = _FLAT[name][values[user.results[0]].bytes > 1]
        return -reach, reach
    return _SATURATION.get(name, ENDLESS)


ENDLESS = (-inf, inf)
_SATURATION = {"nn.relu": (0.0, inf), "nn.relu6": (0.0, 6.0), "nn.hard_swish": (-3.0, inf)}
_FLAT = {"nn.sigmoid": (6.3, 11.8), "nn.tanh": (3.2, 5.9)}
"""Beyond these reaches sigmoid and tanh are within half a step of their ends, in steps of 1/256 and 1/128 when the
result has 8 bits, and of 1/65536 and 1/32768 when it has 16."""
