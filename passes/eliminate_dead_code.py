"""Removes nodes whose results nobody uses."""

from __future__ import annotations

from nascompiler.ir import Graph
from nascompiler.passes.infrastructure.base import Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass


@register_pass
class EliminateDeadCode(Pass):
    """Removes the nodes from which no output can be reached, in cells too.

    Inputs stay, used or not: they are the graph's interface. So do cells and choices: what a search space offers is not
    for a clean-up to decide.
    """

    def run(self, graph: Graph, context: PassContext) -> None:
        for body in graph.bodies:
            for node in reversed(list(body.nodes)):  # users stand behind their operands, so one sweep is enough
                if not any(value.use_count for value in node.results):
                    body.erase(node)
                    context.count("nodes removed")
