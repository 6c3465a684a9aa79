"""Replaces composite ops by their definitions."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from nascompiler.ir import OPS, Graph, InferenceError
from nascompiler.ir.errors import UsageError, unknown
from nascompiler.passes.infrastructure.base import Pass, PassContext, Tolerance
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.infrastructure.rewriter import Rewriter


@register_pass
@dataclass(frozen=True)
class Decompose(Pass):
    """Replace composite ops (`nn.hard_swish`, `nn.squeeze_excite`, ...) by the ops that define them.

    `ops` names those to replace, with or without dialect; none means all. Composites inside a decomposition are
    replaced as well. Raises UsageError for a name that is no op, or an op that is no composite.
    """

    ops: tuple[str, ...] = ()

    preserves = Tolerance(1e-5)

    def run(self, graph: Graph, context: PassContext) -> None:
        wanted = _composites(self.ops)
        rewriter = Rewriter(graph)
        pending = deque(n for n in graph.nodes if n.op.name in wanted)
        while pending:
            node = pending.popleft()
            assert node.op.decompose is not None
            builder = rewriter.before(node)
            attributes: dict[str, Any] = dict(node.attributes)
            try:
                made = node.op.decompose(builder, *node.op.padded(node.operands), **attributes)
            except InferenceError as error:
                context.miss(self.name, node, str(error))
                continue
            finally:
                inner = [n for n in rewriter.touched if not n.is_erased]
                rewriter.touched.clear()
            rewriter.replace(node, *(made if isinstance(made, tuple) else (made,)))
            rewriter.touched.clear()
            pending.extend(n for n in inner if not n.is_erased and n.op.name in wanted)
            context.count(node.op.name)


def _composites(names: tuple[str, ...]) -> frozenset[str]:
    every = frozenset(name for name, op in OPS.items() if op.is_composite)
    if not names:
        return every
    full = [name if "." in name else f"nn.{name}" for name in names]
    for name in full:
        if name not in OPS:
            raise unknown("op", name, every)
        if name not in every:
            raise UsageError(f"{name} is no composite op; these are: {', '.join(sorted(every))}")
    return frozenset(full)
