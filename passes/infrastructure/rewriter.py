"""Rules and the driver that applies them until none fits, in time linear in nodes and rewrites."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from nascompiler.ir import Builder, Error, Graph, Node, Value
from nascompiler.ir.graph import refine_types
from nascompiler.ir.types import join_types
from nascompiler.passes.infrastructure.base import Pass, PassContext
from nascompiler.passes.infrastructure.patterns import Check, Match, Pattern, matches


class Rewriter:
    """The ways to change a graph that keep it valid and that the driver hears about."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.touched: list[Node] = []
        self.retyped: list[Value] = []

    def before(self, node: Node) -> Builder:
        """A builder that adds nodes before `node`, stamped with its origin."""
        return _Recording(self, node)

    def replace(self, node: Node, *values: Value) -> None:
        """Let the users of the node's results use `values`, and erase the node and what only it used.

        What was known of a result's type stays known; where more is known now, `propagate_types` carries it on.
        """
        if len(values) != len(node.results):
            raise ValueError(f"{node!r} has {len(node.results)} results, but {len(values)} replacements are given")
        for old, new in zip(node.results, values, strict=True):
            self.touched.extend(old.users)
            self._join_types(old, new)
            if not new.name and not new.is_input:
                new.name = old.name
            self.graph.replace_all_uses(old, new)
            if new.producer is not None:
                self.touched.append(new.producer)
        self.erase(node)

    def _join_types(self, old: Value, new: Value) -> None:
        joined = join_types(new.type, old.type)
        if joined is not None and joined != new.type and new.producer is not None:
            self.graph.set_type(new, joined)
            self.retyped.append(new)
        if new.type != old.type or new.is_constant:
            self.retyped.append(new)

    def propagate_types(self) -> None:
        """Infer again what depends on values that are known more precisely now; one sweep over the graph."""
        if self.retyped:
            refine_types(self.graph, self.retyped)
            self.retyped.clear()

    def replace_op(self, node: Node, op: str, operands: Iterable[Value], **attributes: Any) -> Value:
        """Replace a node by another op; returns its result."""
        value: Value = self.before(node).op(op, *operands, **attributes)
        self.replace(node, value)
        return value

    def erase(self, node: Node) -> None:
        """Erase a node without users, and then every producer that has lost its last user."""
        pending = [node]
        while pending:
            dead = pending.pop()
            if dead.is_erased or any(v.use_count for v in dead.results):
                continue
            operands = dead.operands
            self.graph.erase(dead)
            for value in operands:
                if value.producer is not None:
                    if value.use_count == 1:  # patterns that want it for themselves may fit now
                        self.touched.extend(value.users)
                    pending.append(value.producer)


class _Recording(Builder):
    def __init__(self, rewriter: Rewriter, before: Node) -> None:
        super().__init__(rewriter.graph, before=before, origin=before.origin)
        self._rewriter = rewriter

    def op(self, op: str, /, *operands: Value | None, **options: Any) -> Any:
        made = super().op(op, *operands, **options)
        first = made[0] if isinstance(made, tuple) else made
        self._rewriter.touched.append(first.producer)
        return made


def _always(match: Match) -> str | None:
    return None


@dataclass(frozen=True)
class Rule:
    """A rewrite, named by its equation.

    `check` gives the reason why a place that fits the pattern must stay as it is, or None; `rewrite` builds the
    replacement and returns its value (or values, for a root with several results).
    """

    equation: str
    pattern: Pattern
    rewrite: Callable[[Match, Builder], Value | Sequence[Value] | None]
    check: Check = _always


def apply_rules(graph: Graph, rules: Sequence[Rule], context: PassContext | None = None) -> bool:
    """Apply rules until none fits; returns whether anything changed.

    Every node is tried in order, and again when something near it changed. A rule whose `rewrite` returns None has
    declined. Raises Error when the rules seem never to end.
    """
    context = context or PassContext()
    by_op: dict[str, list[Rule]] = {}
    for rule in rules:
        for name in sorted(rule.pattern.ops or ()):
            by_op.setdefault(name, []).append(rule)
    rewriter = Rewriter(graph)
    queue = deque(n for n in graph.nodes if n.op.name in by_op)
    waiting = set(queue)
    budget = 1000 + 20 * len(graph)
    reported: set[tuple[str, Node]] = set()
    changed = False
    while queue:
        node = queue.popleft()
        waiting.discard(node)
        if node.is_erased:
            continue
        for rule in by_op.get(node.op.name, ()):
            if not _try(rule, node, rewriter, context, reported):
                continue
            changed = True
            budget -= 1
            if budget < 0:
                raise Error(f"the rule '{rule.equation}' seems to go on for ever; its result fits its own pattern")
            for touched in _neighbourhood(rewriter.touched):
                if not touched.is_erased and touched.op.name in by_op and touched not in waiting:
                    waiting.add(touched)
                    queue.append(touched)
            rewriter.touched.clear()
            break
    rewriter.propagate_types()
    return changed


def _neighbourhood(nodes: Iterable[Node]) -> Iterable[Node]:
    """The nodes, and the users of their results: a pattern may reach through one of them."""
    for node in dict.fromkeys(n for n in nodes if not n.is_erased and not n.is_terminator):
        yield node
        for value in node.results:
            if value.use_count <= 16:
                yield from value.users


def _try(rule: Rule, node: Node, rewriter: Rewriter, context: PassContext, reported: set[tuple[str, Node]]) -> bool:
    missed = None
    for found in matches(rule.pattern, node):
        reason = f"{found.shared[0]!r} has other users" if found.shared else rule.check(found)
        if reason is not None:
            missed = missed or reason
            continue
        made = rule.rewrite(found, rewriter.before(node))
        if made is not None:
            rewriter.replace(node, *([made] if isinstance(made, Value) else made))
            context.count(rule.equation)
            return True
    if missed is not None and (rule.equation, node) not in reported:
        reported.add((rule.equation, node))
        context.miss(rule.equation, node, missed)
    return False


class RewritePass(Pass):
    """A pass that is nothing but rules."""

    rules: ClassVar[tuple[Rule, ...]] = ()

    def run(self, graph: Graph, context: PassContext) -> None:
        for body in graph.bodies:
            apply_rules(body, self.rules, context)
