"""Cross-layer equalisation: channels of like magnitude, so that few scales serve many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Array, Graph, Value
from nascompiler.passes.equalization.balance import balanced
from nascompiler.passes.equalization.classes import scale_classes
from nascompiler.passes.equalization.layers import scaled_weight
from nascompiler.passes.infrastructure.base import Pass, PassContext, Tolerance
from nascompiler.passes.infrastructure.registry import register_pass

RULE = "conv2d(f(conv2d(x, w, b)), v) = conv2d(f(conv2d(x, w * s, b * s)), v / s)"


@register_pass
@dataclass(frozen=True)
class EqualizeCrossLayer(Pass):
    """Scale channels between layers so that those of one tensor, and the weights behind them, are alike in magnitude.

    Scales pass through relu, pooling, residual additions, concats, and beside the gate of a squeeze-excite; not through
    relu6, hard-swish or gates themselves: classes of channels that meet one keep their scale, with the reason.
    """

    requires_level = ("nn",)
    requires = frozenset({"closed", "static-shapes"})
    preserves = Tolerance(2e-5)

    def run(self, graph: Graph, context: PassContext) -> None:
        equalize(graph, context=context)


def equalize(graph: Graph, ranges: Mapping[Value, Array] | None = None, *, context: PassContext | None = None) -> None:
    """Equalise a graph in place.

    `ranges` has the largest magnitude of each channel, [C] of the last axis, of values as observed; without it weights
    stand for them (see `equalization.balance`).
    """
    context = context or PassContext()
    found = scale_classes(graph)
    for one in found.classes:
        if one.makers and one.fixed:
            context.miss(RULE, one.makers[0], "; ".join(one.fixed[:3]))
    scales = balanced(found, ranges)
    context.count("classes of channels equalised", sum(not np.all(s == 1) for s in scales))
    for node in {n: None for c in found.classes for n in (*c.makers, *c.takers)}:
        before, after = found.along(node.operands[0], scales), found.along(node.results[0], scales)
        if (before == 1).all() and (after == 1).all():
            continue
        weight, *rest = node.operands[1:]
        operands = [node.operands[0], graph.constant(scaled_weight(node, before, after), weight.name)]
        for bias in rest:
            assert bias.array is not None
            operands.append(graph.constant(np.multiply(bias.array, after).astype(bias.array.dtype), bias.name))
        graph.set_operands(node, operands)
