"""From a plan and its parameters to the fake-quantised graph: float ops on numbers that integers can stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, Builder, DType, Graph, Node, Quantization, Value
from nascompiler.ir.labels import node_labels
from nascompiler.passes.quantization.plan import Plan

Scales = NDArray[np.float32]
KEEP_FLOAT = "keep-float"
"""The attribute of a fake-quantised graph that names (the results of) nodes that must not become integer."""


def insert_fake_quantization(
    plan: Plan,
    activations: Mapping[Value, Quantization],
    weights: Mapping[Node, Scales],
    *,
    weight_values: Mapping[Node, Array] | None = None,
    biases: Mapping[Node, Array] | None = None,
    weight_dtype: DType = DType.I8,
) -> Graph:
    """A copy of the plan's graph in which every value that integer nodes take is quantised and dequantised.

    `activations` has the quantisation of each of `plan.values`, `weights` the scales, one or one for each output
    channel, of each of `plan.sums` that has weights. Weights stay float constants behind a qnn.quantize_per_axis:
    folding that constant gives the integers. Biases stay float. `weight_values` and `biases`, [O], take the place of
    those of the layers they are given for.
    """
    graph, copies = plan.graph.clone_with_map()
    _mark_kept(plan, graph, copies)
    twins = dict(zip(plan.graph.nodes, graph.nodes, strict=True))
    integer = {twins[n] for n in plan.integer}
    makers = integer | {twins[n] for n in plan.absorbed}
    for value in plan.values:
        if not value.is_constant:
            _quantize_value(graph, copies[value], plan.values[value], activations[value], integer, makers)
    for node in plan.graph.nodes:
        if node in plan.integer:
            for index, value in enumerate(node.operands):
                if value in plan.values and value.is_constant:
                    builder = Builder(graph, before=twins[node], origin=node.origin)
                    restored = _restored(builder, value, plan.values[value], activations[value])
                    graph.set_operand(twins[node], index, restored)
            if node in weights:
                _quantize_weight(graph, twins[node], weights[node], weight_dtype, (weight_values or {}).get(node))
            if node in plan.narrowed:
                _quantize_index(graph, twins[node], activations[node.operands[0]])
            if biases is not None and node in biases:
                _set_bias(graph, twins[node], biases[node])
    return graph


def _mark_kept(plan: Plan, graph: Graph, copies: Mapping[Value, Value]) -> None:
    """Note in the graph which nodes shall stay in float, by the names of their results."""
    if plan.kept:
        labels = node_labels(plan.graph)
        for node in plan.kept:
            copies[node.results[0]].name = labels[node]
        graph.attributes[KEEP_FLOAT] = tuple(sorted(labels[node] for node in plan.kept))


def _quantize_value(
    graph: Graph, value: Value, dtype: DType, quantization: Quantization, integer: set[Node], makers: set[Node]
) -> None:
    """Let users take the quantised value; float users only where an integer node has made it."""
    producer, uses = value.producer, value.uses
    before = next(graph.nodes) if producer is None else producer.following
    builder = Builder(graph, before=before, origin="" if producer is None else producer.origin)
    restored = _restored(builder, value, dtype, quantization)
    for user, index in uses:
        if producer in makers or user in integer:
            graph.set_operand(user, index, restored)


def _restored(builder: Builder, value: Value, dtype: DType, quantization: Quantization) -> Value:
    (scale,), (zero_point,) = quantization.scale, quantization.zero_point
    integers = builder.qnn.quantize(value, scale=scale, zero_point=zero_point, dtype=dtype)
    restored: Value = builder.qnn.dequantize(integers, x_scale=scale, x_zero_point=zero_point)
    return restored


def _quantize_index(graph: Graph, node: Node, quantization: Quantization) -> None:
    """Round what a table of 256 entries is looked up by to the upper 8 of its 16 bits."""
    upper = Quantization.per_tensor(quantization.scale[0] * 256)
    builder = Builder(graph, before=node, origin=node.origin)
    graph.set_operand(node, 0, _restored(builder, node.operands[0], DType.I8, upper))


def _quantize_weight(graph: Graph, node: Node, scale: Scales, dtype: DType, values: Array | None) -> None:
    weight = node.operands[1]
    if values is not None:
        weight = graph.constant(np.asarray(values, np.float32), weight.name)
    axis = (weight.type.rank or 0) - 1
    builder = Builder(graph, before=node, origin=node.origin)
    scales = builder.constant(np.asarray(scale, np.float32), f"{weight.name}.scale" if weight.name else "")
    integers = builder.qnn.quantize_per_axis(weight, scales, axis=axis, dtype=dtype, name=weight.name)
    graph.set_operand(node, 1, builder.qnn.dequantize_per_axis(integers, scales, axis=axis))


def _set_bias(graph: Graph, node: Node, bias: Array) -> None:
    name = node.operands[2].name if len(node.operands) > 2 else ""
    graph.set_operands(node, (*node.operands[:2], graph.constant(np.asarray(bias, np.float32), name)))
