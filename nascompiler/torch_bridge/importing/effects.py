"""Whether a program changes tensors in place in a way that matters."""

from __future__ import annotations

import operator
from typing import Any

from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Node

from nascompiler.torch_bridge.importing.converters.registry import operator_name

_FRESH = frozenset(
    "conv1d conv2d conv_transpose1d conv_transpose2d convolution batch_norm layer_norm group_norm instance_norm linear "
    "addmm mm bmm matmul add sub mul div cat stack relu hardtanh hardswish hardsigmoid sigmoid tanh silu gelu elu "
    "leaky_relu max_pool2d avg_pool2d adaptive_avg_pool2d mean sum zeros ones full lift_fresh_copy clone".split()
)
"""Operators that always make a new tensor, which no other name in the program refers to."""


def has_effects(program: ExportedProgram) -> bool:
    """Whether torch has to make the program functional before its calls can be read as functions.

    `relu_(conv2d(x))` has no effect that anybody sees when nothing else uses the convolution.
    """
    specs = program.graph_signature.output_specs
    if any(spec.kind is not OutputKind.USER_OUTPUT for spec in specs):
        return False  # it will be refused for that
    return any(not _is_function(node) for node in program.graph.nodes if node.op == "call_function")


def _is_function(node: Node) -> bool:
    name = operator_name(node.target)
    if name is None:
        return node.target is operator.getitem or getattr(node.target, "__module__", "") in ("_operator", "math")
    schema: Any = node.target._schema  # type: ignore[union-attr]
    if not schema.is_mutable:
        return True
    changed = node.args[0] if node.args else None
    return name.endswith("_") and isinstance(changed, Node) and _is_private(changed)


def _is_private(node: Node) -> bool:
    """Whether the tensor is new and used once."""
    name = operator_name(node.target) if node.op == "call_function" else None
    return name is not None and name.rstrip("_") in _FRESH and len(node.users) == 1
