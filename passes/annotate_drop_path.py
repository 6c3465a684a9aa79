"""ScheduledDropPath (NASNet, arXiv:1707.07012, section 4.1; by depth as in its released code)."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Graph, ModelError
from nascompiler.passes.expansion.cells import CELL_USES, DROP_PATH_KEEP, DROP_PATH_STEPS
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass


@register_pass
@dataclass(frozen=True)
class AnnotateDropPath(Pass):
    """Lets training drop paths of cells: `expand-cells` then puts an nn.drop_path behind each op but the identity.

    The last cell keeps a path with probability `keep`, cell i of n with 1 - i / n * (1 - keep), stems counted. That is
    at the end of training: from 1 at its beginning the probabilities fall linearly over `steps` steps, of which the
    graph only takes note (0: as many as training has). Published are keep 0.6 over 937500 steps for CIFAR, 0.7 over
    250000 for 6 @ 4032. Raises ModelError when the architecture has no cells.
    """

    requires_level = ("arch",)
    preserves = Nothing("an architecture has no values")

    keep: float
    steps: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep is {self.keep:g}; accepted: numbers above 0 and up to 1")
        if self.steps < 0:
            raise ValueError(f"steps is {self.steps}; accepted: integers from 0 on")

    def run(self, graph: Graph, context: PassContext) -> None:
        if not any(node.op.name in CELL_USES for node in graph.nodes):
            raise ModelError(f"{graph.name} has no cells whose paths could be dropped (arch.cell, arch.stack)")
        graph.attributes[DROP_PATH_KEEP] = float(self.keep)
        graph.attributes[DROP_PATH_STEPS] = self.steps
