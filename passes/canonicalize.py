"""Brings what can be written in several ways into one."""

from __future__ import annotations

from nascompiler.ir import Graph
from nascompiler.passes.canonicalization import canonical_rules
from nascompiler.passes.infrastructure.base import Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.infrastructure.rewriter import apply_rules


@register_pass
class Canonicalize(Pass):
    """Applies the rules of `passes/canonicalization`, so that other passes have one form to look for.

    Nothing that is computed changes but the sign of a zero: constants that add nothing vanish, reshapes and transposes
    merge, constants stand second, a number as a limit is a clip, paddings move into convolutions, biases into the
    products they are added to, and ops with sizes as operands take them as attributes once they are constant.
    Rules that round differently belong elsewhere (fold-batch-norm, for one).
    """

    may_ensure = frozenset({"static-shapes"})

    def run(self, graph: Graph, context: PassContext) -> None:
        rules = canonical_rules()
        for body in graph.bodies:
            apply_rules(body, rules, context)
