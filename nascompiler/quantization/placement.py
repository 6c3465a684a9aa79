"""Where each layer of a quantised network computes, in integers or in float, and why."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import DType, Node
from nascompiler.ir.cost import node_cost
from nascompiler.ir.labels import node_labels
from nascompiler.passes.fake_quantization_to_integer import FakeQuantizationToInteger
from nascompiler.passes.infrastructure.base import PassContext
from nascompiler.passes.quantization.quantizer import Quantized

FLOAT, WIDE = "float", "16 bit"

RULE = "dequantize, op, quantize = integer op"
"""As `fake-quantization-to-integer` calls it where it leaves a node in float."""


@dataclass(frozen=True)
class LayerPlacement:
    """A node of the prepared float network. `placement` is its integer type, `16 bit` or `float`."""

    layer: str
    op: str
    placement: str
    reason: str
    macs: int
    origin: str = ""
    """Where the node came from, such as an ONNX node."""


def placements(quantized: Quantized) -> list[LayerPlacement]:
    """All nodes of the prepared network, in order."""
    labels = node_labels(quantized.prepared)
    refused = _refusals(quantized)
    rows = []
    for node, label in labels.items():
        where, reason = _placed(quantized, node, label, labels, refused)
        rows.append(LayerPlacement(label, node.op.name, where, reason, node_cost(node).macs or 0, node.origin))
    return rows


def integer_share(rows: list[LayerPlacement]) -> float:
    """The part of the multiply-adds, 0 to 1, that integers do."""
    total = sum(row.macs for row in rows)
    return sum(row.macs for row in rows if row.placement != FLOAT) / total if total else 0.0


def _placed(
    quantized: Quantized, node: Node, label: str, labels: dict[Node, str], refused: dict[Node, str]
) -> tuple[str, str]:
    plan = quantized.plan
    if node in plan.reasons:
        return FLOAT, plan.reasons[node]
    if node in refused:
        return FLOAT, refused[node]
    if node in plan.absorbed:
        maker = plan.absorbed[node]
        if maker in refused:
            return FLOAT, refused[maker]
        return _type(quantized, maker), f"part of {labels[maker]}, before it rounds"
    if label in quantized.settings.wide:
        return _type(quantized, node), "16-bit activations as asked"
    where = _type(quantized, node)
    return where, "beside a layer with 16-bit activations" if where == WIDE else ""


def _type(quantized: Quantized, node: Node) -> str:
    """The widest integer type of the activations that a node takes or makes."""
    values = quantized.plan.values
    ends = [node, *(a for a, maker in quantized.plan.absorbed.items() if maker is node)]
    types = {values[v] for n in ends for v in (*n.operands, *n.results) if v in values}
    if DType.I16 in types:
        return WIDE
    return str(quantized.settings.dtype)


def _refusals(quantized: Quantized) -> dict[Node, str]:
    """Nodes that were planned as integers, but whose numbers do not allow it, such as sums beyond 32 bits."""
    context = PassContext()
    FakeQuantizationToInteger().run(quantized.fake.clone(), context)
    named = {f"%{n.results[0].name}": n for n in quantized.plan.integer if n.results[0].name}
    reasons = {label.partition(" = ")[0]: reason for rule, label, reason in context.misses if rule == RULE}
    return {named[name]: reason for name, reason in reasons.items() if name in named}
