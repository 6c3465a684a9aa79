"""From float ops between dequantize and quantize to integer ops."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Graph, Value
from nascompiler.passes.eliminate_dead_code import EliminateDeadCode
from nascompiler.passes.fold_constants import FoldConstants
from nascompiler.passes.infrastructure.base import Pass, PassContext, Tolerance
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.quantization.insertion import KEEP_FLOAT
from nascompiler.passes.quantization.integer_forms import round_sum, source_of, to_integer


@register_pass
@dataclass(frozen=True)
class FakeQuantizationToInteger(Pass):
    """Replace float ops whose operands are dequantised, and whose results are quantised, by their integer forms.

    Sums of products need no quantize behind them: they give their accumulators as float32. What has no integer form
    stays in float, and so do nodes whose results the graph's attribute `keep-float` names. Weights must be constants,
    quantised along the output channels or as a whole.
    """

    requires = frozenset({"closed"})
    preserves = Tolerance(0.05)  # rounding of values that fall between two integers may go the other way

    def run(self, graph: Graph, context: PassContext) -> None:
        if not any(node.op.name in _DEQUANTIZE for node in graph.nodes):
            return
        FoldConstants().run(graph, context)
        for node in graph.nodes:
            if node.op.dialect != "nn" or not any(map(_is_dequantized, node.operands)):
                continue
            label = repr(node)
            reason = to_integer(graph, node)
            if reason is None:
                context.count("integer ops")
            else:
                context.misses.append(("dequantize, op, quantize = integer op", label, reason))
        for node in list(graph.nodes):
            context.count("sums rounded", not node.is_erased and round_sum(graph, node))
        graph.attributes.pop(KEEP_FLOAT, None)
        _join(graph)
        EliminateDeadCode().run(graph, context)


_DEQUANTIZE = ("qnn.dequantize", "qnn.dequantize_per_axis")


def _is_dequantized(value: Value) -> bool:
    return value.producer is not None and value.producer.op.name in _DEQUANTIZE


def _join(graph: Graph) -> None:
    """quantize(dequantize(x)) is x, or x at another scale."""
    for node in graph.nodes:
        source = source_of(node.operands[0]) if node.op.name == "qnn.quantize" else None
        if source is None:
            continue
        wanted = (node["scale"], node["zero_point"], node["dtype"])
        if (source.scale, source.zero_point, source.dtype) == wanted:
            graph.replace_all_uses(node.result, source.value)
        else:
            made = graph.insert(
                "qnn.requantize",
                (source.value,),
                {**source.attributes(), "scale": wanted[0], "zero_point": wanted[1], "dtype": wanted[2]},
                before=node,
                origin=node.origin,
            )
            graph.replace_all_uses(node.result, made.result)
        graph.erase(node)
