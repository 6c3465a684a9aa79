"""Lets convolutions, linear layers and additions apply the activation that follows, so that nothing is stored between.

The last of the passes on `nn` as a rule: rules of other passes match only ops without a fused activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nascompiler.ir import Builder, Graph, Value
from nascompiler.ir.dialects.nn.fused import FUSIBLE_ACTIVATIONS
from nascompiler.passes.canonicalization import ranges
from nascompiler.passes.infrastructure.base import Exact
from nascompiler.passes.infrastructure.patterns import Match, has_fused_activation, op
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.infrastructure.rewriter import RewritePass, Rule

_FUSING = ("nn.conv2d", "nn.conv2d_transpose", "nn.linear", "nn.add")


def _refuse(match: Match) -> str | None:
    """hard_sigmoid fuses with MobileNetV3's parameters, or what is the same number in the element type."""
    activation = match.root
    if activation.op.name != "nn.hard_sigmoid":
        return None
    dtype = activation.result.type.dtype.numpy.type
    given, wanted = (activation["alpha"], activation["beta"]), (1 / 6, 0.5)
    if np.array(given, dtype).tolist() != np.array(wanted, dtype).tolist():
        return f"its slope is {given[0]:g}, its offset {given[1]:g}; only 1/6 and 1/2 can be fused"
    return None


def _fuse(match: Match, builder: Builder) -> Value:
    layer = match.node("layer")
    attributes: dict[str, Any] = {**layer.attributes, "activation": match.root.op.name.removeprefix("nn.")}
    builder.origin = layer.origin
    value: Value = builder.op(layer.op.name, *layer.operands, **attributes)
    return value


def detach_activations(graph: Graph) -> None:
    """The inverse: fused activations as ops of their own, for backends that fuse in their own way."""
    for node in list(graph.nodes):
        if node.op.dialect != "nn" or not has_fused_activation(node):
            continue
        result, uses = node.result, node.result.uses
        attributes: dict[str, Any] = {**node.attributes, "activation": "none"}
        build = Builder(graph, before=node, origin=node.origin)
        activated = build.op(f"nn.{node['activation']}", build.op(node.op.name, *node.operands, **attributes))
        activated.name = result.name
        for user, index in uses:
            graph.set_operand(user, index, activated)
        graph.erase(node)


@register_pass
@dataclass(frozen=True)
class FuseActivations(RewritePass):
    """Give conv2d, conv2d_transpose, linear and add the attribute `activation` of the single-use activation after them.

    Limits written as clip, minimum and maximum become relu and relu6 on the way.
    """

    requires_level = ("nn",)
    preserves = Exact()
    rules = (
        *ranges.RULES,
        Rule(
            "activation(conv2d(x, w)) = conv2d{activation}(x, w)",
            op(
                tuple(f"nn.{name}" for name in FUSIBLE_ACTIVATIONS),
                op(_FUSING, name="layer", single_use=True),
            ),
            _fuse,
            _refuse,
        ),
    )
