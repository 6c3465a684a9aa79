"""What no kernel covers: every op of nn as a TVM tensor expression, fused and compiled by TVM.

A rule gets the node and a tensor for each operand present, then one for each of the op's tables, and returns the tensor
of each result. Tables are arrays that depend on attributes and types only (where a resized pixel comes from).
"""

from nascompiler.backends.tvm_adapter.leftovers.rules import (
    RULES,
    TABLES,
    Rule,
    has_rule,
    refusal,
    tables_of,
    tensors_of,
)

__all__ = ["RULES", "TABLES", "Rule", "has_rule", "refusal", "tables_of", "tensors_of"]
