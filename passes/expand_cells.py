"""Writes an architecture as a network: every block, cell and head by the conventions of its family."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Builder, Error, Graph, ModelError, Node, Value
from nascompiler.ir.errors import choices_text
from nascompiler.passes.expansion import EXPANDERS, Expansion, Weights, family_of
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass

STATISTICS = ("measured", "random")


@register_pass
@dataclass(frozen=True)
class ExpandCells(Pass):
    """Turns arch ops into nn ops with random, well-behaved weights that depend on `seed` and nothing else.

    The statistics of batch norms are `measured` on synthetic images, which takes most of the time; `random` ones do
    where only sizes and latency are of interest.
    The graph's attribute `family` names the conventions that apply. Weights are made when first looked at.
    Raises ModelError when a size is not known or too small, naming the block.
    """

    requires_level = ("arch",)
    ensures_level = "nn"
    requires = frozenset({"closed"})
    may_ensure = frozenset({"static-shapes"})
    preserves = Nothing("an architecture has no values")

    seed: int = 0
    statistics: str = "measured"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; accepted: integers from 0 on")
        if self.statistics not in STATISTICS:
            raise ValueError(f"statistics is {self.statistics!r}; accepted: {choices_text(STATISTICS)}")

    def run(self, graph: Graph, context: PassContext) -> None:
        weights = Weights(self.seed, measured=self.statistics == "measured")
        builder = Builder(graph)
        expansion = Expansion(builder, family_of(graph), weights, graph.cells)
        for node, name in arch_names(graph).items():
            context.count(node.op.name)
            builder.before, builder.origin = node, name
            _expand(expansion, graph, node)
        graph.cells = {}
        weights.settle(graph)


def arch_names(graph: Graph) -> dict[Node, str]:
    """The arch nodes of a graph and the names under which they are expanded: their own, numbered where not unique."""
    names: dict[Node, str] = {}
    taken: set[str] = set()
    for node in graph.nodes:
        if node.op.dialect == "arch":
            own = node.results[0].name
            base = own or node.op.name.partition(".")[2]
            name, number = (own, 0) if own else (f"{base}1", 1)
            while name in taken:
                number += 1
                name = f"{base}{number}"
            taken.add(name)
            names[node] = name
    return names


def _expand(expansion: Expansion, graph: Graph, node: Node) -> None:
    expander = EXPANDERS.get(node.op.name)
    if expander is None:
        raise ModelError(f"{node!r} cannot be expanded here; accepted: {choices_text(sorted(EXPANDERS))}")
    name = expansion.builder.origin
    try:
        with expansion.scope(name):
            made = expander(expansion, node, *node.op.padded(node.operands))
    except Error as error:
        raise ModelError(f"{node.op.name} {name}: {error}") from error
    results: tuple[Value, ...] = made if isinstance(made, tuple) else (made,)
    for old, new in zip(node.results, results, strict=True):
        graph.replace_all_uses(old, new)
    graph.erase(node)
