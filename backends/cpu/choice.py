"""Which of the ways to compute a kernel call is taken."""

from __future__ import annotations

from nascompiler.backends.cpu.implementation import Implementation, candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Node


def choose(node: Node, target: Target) -> Implementation | None:
    """The implementation of a node, or None when a template, TVM or no code at all computes it."""
    if node.op.dialect == "nn":
        return None
    found = candidates(KernelCall.of(node), target)
    return found[0] if found else None
