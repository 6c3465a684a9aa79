"""The placement table: for each node, where it runs, by which kernel, and why."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.backends.cpu.assign_kernels import refusal
from nascompiler.backends.cpu.choice import TEMPLATE, TVM, Choices, calls_of, choose
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.plans import describe
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.labels import node_labels
from nascompiler.ir.ops import Trait

_VIEWS = frozenset({"nn.reshape", "nn.flatten", "nn.squeeze", "nn.unsqueeze"})


def is_view(node: Node) -> bool:
    """Whether a node needs no code: its result is the operand's memory under another shape, or the operand."""
    return node.op.name in _VIEWS or node.op.has(Trait.IDENTITY)


@dataclass(frozen=True)
class Placement:
    """A row of the table. `unit` is what computes the node, `kernel` the code for it."""

    node: str
    op: str
    unit: str
    kernel: str
    reason: str


def placement_table(graph: Graph, target: Target, choices: Choices | None = None) -> list[Placement]:
    """The rows of a graph whose kernels are assigned, in order; `choices` are by default as measurements have it."""
    chosen = choose(calls_of(graph).values(), target) if choices is None else choices
    return [_row(label, node, target, chosen) for node, label in node_labels(graph).items()]


def _row(label: str, node: Node, target: Target, choices: Choices) -> Placement:
    if is_view(node):
        return Placement(label, node.op.name, "cpu", "none", "the same memory under another shape")
    call = KernelCall.of(node)
    choice = choices.get(call.text)
    if choice is None or (choice.variant == TVM and node.op.dialect != "cpu"):
        reason = refusal(node) or "assign-kernels has not run"
        return Placement(label, node.op.name, "cpu", TVM, f"{reason}; fused and compiled by TVM")
    reason = f"{describe(call, target)}; {choice.reason}" if choice.variant == TEMPLATE else choice.reason
    return Placement(label, node.op.name, "cpu", choice.variant, reason)
