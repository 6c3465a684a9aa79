"""The table of rules, and who may use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nascompiler.backends.cpu.placement import is_view
from nascompiler.backends.tvm_adapter.leftovers import (
    contraction,
    elementwise,
    quantized,
    quantized_sums,
    reduction,
    structural,
)
from nascompiler.ir.graph import Node
from nascompiler.ir.types import Array

Rule = Callable[..., list[Any]]

RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **structural.RULES,
    **contraction.RULES,
    **reduction.RULES,
    **quantized.RULES,
    **quantized_sums.RULES,
}
TABLES: dict[str, Callable[[Node], list[Array]]] = {**structural.TABLES, **quantized.TABLES, **quantized_sums.TABLES}


def refusal(node: Node) -> str | None:
    """Why TVM cannot compile the node by itself, or None when it can."""
    name = node.op.name
    if is_view(node):
        return None
    if name not in RULES or (name == "nn.pow" and not node.result.type.dtype.is_float):
        return f"no kernel and no rule for {name}"
    return quantized_sums.refusal(node)


def has_rule(node: Node) -> bool:
    """Whether TVM can compile the node by itself."""
    return refusal(node) is None


def tables_of(node: Node) -> list[Array]:
    """The arrays the node's rule needs beside its operands."""
    tables = TABLES.get(node.op.name)
    return [] if tables is None else tables(node)


def tensors_of(node: Node, operands: Sequence[Any]) -> list[Any]:
    """The tensor expression of each result."""
    return RULES[node.op.name](node, *operands)
