"""Before the export: ops on integers are written out as float ops between dequantize and quantize.

In the format "qdq" that is all of them; in "qoperator" those without an operator on integers. Constants that a
fake-quantised graph still quantises become integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nascompiler.ir.builder import Builder
from nascompiler.ir.dialects.qnn.arithmetic import clamp_limits, limits
from nascompiler.ir.dialects.qnn.declarations import ACTIVATION_TYPES
from nascompiler.ir.dialects.qnn.lookup import function_table
from nascompiler.ir.evaluate import evaluate_node
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import Array, DType, Quantization
from nascompiler.onnx.emitters.quantized_operators import has_operator_form
from nascompiler.onnx.reshaped_linear import replace, reshape_linear

Keeps = Callable[[Node], bool]


def _is_transpose(node: Node) -> bool:
    """Transposes mostly vanish between the layouts of NHWC ops and NCHW operators."""
    return node.op.name == "nn.transpose"


FORMATS: Mapping[str, Keeps] = {"qdq": _is_transpose, "qoperator": has_operator_form}
"""How qnn ops are written -> which nodes on integers stay as they are."""


def write_out_quantization(graph: Graph, keeps: Keeps) -> None:
    """Replace ops on integers that are not kept by float ops; structural ones of nn included."""
    for node in graph.nodes:
        if node.op.name == "qnn.quantize_per_axis" and all(v.array is not None for v in node.operands):
            _fold(graph, node)
    for node in graph.nodes:
        if node.op.name in ("nn.linear", "qnn.linear"):
            reshape_linear(graph, node)
    writer = _Writer(graph)
    for node in graph.nodes:
        if node.op.name == "qnn.dequantize":
            writer.reuse(node)
        elif node.op.name in _WRITTEN and not keeps(node) and not _needs_constants(node):
            writer.write(node)
        elif node.op.dialect == "nn" and _moves_quantized(node) and not keeps(node):
            writer.wrap(node)


def _fold(graph: Graph, node: Node) -> None:
    arrays = [v.array for v in node.operands if v.array is not None]
    graph.replace_all_uses(node.result, graph.constant(evaluate_node(node, arrays)[0], node.result.name))
    graph.erase(node)


def _needs_constants(node: Node) -> bool:
    """Whether it scales computed weights by groups: left as it is, it is reported as an op without an ONNX form."""
    if node.op.name != "qnn.conv2d_transpose" or node["groups"] == 1 or node.operands[2].type.shape == (1,):
        return False
    return any(v.array is None for v in node.operands[1:3])


def _moves_quantized(node: Node) -> bool:
    """Whether a node hands integers on that stand for real numbers."""
    first = node.operands[0].type.quantization if node.operands else None
    return first is not None and first.axis is None and all(v.type.quantization == first for v in node.results)


class _Writer:
    """Writes nodes out one after the other, each value dequantised once."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._restored: dict[tuple[Value, float, int], Value] = {}
        self._parameters: dict[tuple[Value, Value, int], Value] = {}

    def reuse(self, node: Node) -> None:
        """Share a dequantize node of the graph with those made here."""
        key = (node.operands[0], node["x_scale"], node["x_zero_point"])
        if key in self._restored:
            replace(self._graph, node, self._restored[key])
        else:
            self._restored[key] = node.result

    def write(self, node: Node) -> None:
        """Replace a qnn op by its float op."""
        builder = Builder(self._graph, before=node, origin=node.origin)
        replace(self._graph, node, _WRITTEN[node.op.name](self, builder, node))

    def wrap(self, node: Node) -> None:
        """Let a structural op work on real numbers."""
        builder = Builder(self._graph, before=node, origin=node.origin)
        quantization = node.operands[0].type.quantization
        assert quantization is not None
        (scale,), (zero_point,) = quantization.scale, quantization.zero_point
        operands = [
            self._real(builder, v, v.type.quantization) if v.type.dtype in ACTIVATION_TYPES else v
            for v in node.operands
        ]
        attributes: dict[str, Any] = dict(node.attributes)
        if node.op.name in ("nn.pad", "nn.dynamic_pad"):
            attributes["value"] = float(np.float32(attributes["value"] - zero_point) * np.float32(scale))
        made = builder.op(node.op.name, *operands, **attributes)
        dtype = node.operands[0].type.dtype
        rounded = [
            builder.qnn.quantize(v, scale=scale, zero_point=zero_point, dtype=dtype)
            for v in (made if isinstance(made, tuple) else (made,))
        ]
        replace(self._graph, node, *rounded)

    def _real(self, builder: Builder, value: Value, quantization: Quantization | None) -> Value:
        if quantization is None:  # a list of indices
            return value
        return self.dequantized(builder, value, quantization.scale[0], quantization.zero_point[0])

    def operand(self, builder: Builder, node: Node, prefix: str = "x", index: int = 0) -> Value:
        """An activation of a qnn op as real numbers."""
        value, rank = node.operands[index], node.result.type.rank
        if value.array is not None and rank is not None and value.array.ndim < rank and prefix != "x":
            wide = value.array.reshape((1,) * (rank - value.array.ndim) + value.array.shape)
            value = self._graph.constant(wide, value.name)  # so that its layout can follow that of the result
        return self.dequantized(builder, value, node[f"{prefix}_scale"], node[f"{prefix}_zero_point"])

    def dequantized(self, builder: Builder, value: Value, scale: float, zero_point: int) -> Value:
        key = (value, scale, zero_point)
        if key not in self._restored:
            self._restored[key] = builder.qnn.dequantize(value, x_scale=scale, x_zero_point=zero_point)
        return self._restored[key]

    def parameter(self, builder: Builder, value: Value, scale: Value, axis: int, zero_point: int = 0) -> Value:
        """Weights or a bias as real numbers."""
        key = (value, scale, axis)
        if key not in self._parameters:
            self._parameters[key] = builder.qnn.dequantize_per_axis(value, scale, axis=axis, x_zero_point=zero_point)
        return self._parameters[key]


def _sum(writer: _Writer, builder: Builder, node: Node) -> Value:
    scale, *bias = node.operands[2:]
    operands = [
        writer.operand(builder, node),
        _real_weight(writer, builder, node),
        *(writer.parameter(builder, b, _bias_scale(builder, scale, node["x_scale"]), 0) for b in bias),
    ]
    float_op = node.op.name.replace("qnn.", "nn.")
    own = {name: node[name] for name in (a.name for a in OPS[float_op].attributes) if name != "activation"}
    return _rounded(builder, node, builder.op(float_op, *operands, **own))


def _real_weight(writer: _Writer, builder: Builder, node: Node) -> Value:
    """Dequantised along the output channels; of a transposed convolution with groups, if they are alike in all."""
    _, weight, scale, *_ = node.operands
    axis = (weight.type.rank or 0) - 1
    groups = node["groups"] if node.op.name == "qnn.conv2d_transpose" else 1
    if groups > 1 and scale.type.shape != (1,) and scale.array is not None and weight.array is not None:
        by_group = scale.array.reshape(groups, -1)
        if not np.all(by_group == by_group[0]):
            return builder.constant(_grouped(weight.array, by_group, node["weight_zero_point"]), weight.name)
        scale = builder.constant(by_group[0])
    return writer.parameter(builder, weight, scale, axis, node["weight_zero_point"])


def _grouped(weight: Array, scale: Array, zero_point: int) -> Array:
    """Real weights [kh, kw, C, O / groups] of a transposed convolution; scale [groups, O / groups]."""
    real = weight.astype(np.float32) - np.float32(zero_point)
    by_channel = np.repeat(scale.astype(np.float32), weight.shape[2] // scale.shape[0], axis=0)
    return np.asarray(real * by_channel)


def _bias_scale(builder: Builder, scale: Value, x_scale: float) -> Value:
    factor = np.array([x_scale], np.float32)
    if scale.array is not None:
        return builder.constant(np.multiply(scale.array.astype(np.float32), factor))
    product: Value = builder.nn.mul(scale, builder.constant(factor))
    return product


def _matmul(writer: _Writer, builder: Builder, node: Node) -> Value:
    a, b = writer.operand(builder, node, "a"), writer.operand(builder, node, "b", 1)
    return _rounded(builder, node, builder.nn.matmul(a, b))


def _binary(writer: _Writer, builder: Builder, node: Node) -> Value:
    a, b = writer.operand(builder, node, "a"), writer.operand(builder, node, "b", 1)
    return _rounded(builder, node, builder.op(node.op.name.replace("qnn.", "nn."), a, b))


def _unary(writer: _Writer, builder: Builder, node: Node) -> Value:
    float_op = node.op.name.replace("qnn.", "nn.")
    own = {a.name: node[a.name] for a in OPS[float_op].attributes}
    return _rounded(builder, node, builder.op(float_op, writer.operand(builder, node), **own))


def _requantize(writer: _Writer, builder: Builder, node: Node) -> Value:
    return _rounded(builder, node, writer.operand(builder, node))


def _lookup(writer: _Writer, builder: Builder, node: Node) -> Value:
    """The float op that the table was made of; of any other table, its elements."""
    x, table = node.operands
    if not _is_table_of_function(node):
        low, _ = limits(x.type.dtype)
        index = builder.nn.sub(builder.nn.cast(x, to=DType.I32), builder.constant(np.array(low, np.int32)))
        entries: Value = builder.nn.gather(table, index, axis=0)
        return entries
    names = (a.name for a in OPS[node["function"]].attributes)
    parameters = dict(zip(names, node["parameters"], strict=True))
    return _rounded(builder, node, builder.op(node["function"], writer.operand(builder, node), **parameters))


def _is_table_of_function(node: Node) -> bool:
    x, table = node.operands
    function = node["function"]
    if function not in OPS or table.array is None or len(OPS[function].attributes) != len(node["parameters"]):
        return False
    made = function_table(
        function,
        node["parameters"],
        x_scale=node["x_scale"],
        x_zero_point=node["x_zero_point"],
        x_dtype=x.type.dtype,
        scale=node["scale"],
        zero_point=node["zero_point"],
        dtype=table.type.dtype,
    )
    return bool(np.array_equal(made, table.array))


def _rounded(builder: Builder, node: Node, real: Value) -> Value:
    """The activation of the node and its quantisation, if its result has one.

    A clamp inside the range of 8-bit integers stands behind the rounding: before it, ONNX Runtime could not round the
    sums at once, as it does for 8 bits. The result is the same.
    """
    result, attributes = node.result.type, node.attributes
    activation = str(attributes.get("activation", "none"))
    if result.dtype is DType.F32:
        return _activated(builder, real, activation)
    how: dict[str, Any] = {
        "scale": attributes["scale"],
        "zero_point": attributes["zero_point"],
        "dtype": result.dtype,
    }
    bounds = clamp_limits(result.dtype, activation, how["scale"], how["zero_point"])
    if bounds == limits(result.dtype) or result.dtype.bytes > 1:
        quantized: Value = builder.qnn.quantize(_activated(builder, real, activation), **how)
        return quantized
    whole = builder.qnn.quantize(real, **how)
    restored = builder.qnn.dequantize(whole, x_scale=how["scale"], x_zero_point=how["zero_point"])
    clamped: Value = builder.qnn.quantize(_activated(builder, restored, activation), **how)
    return clamped


def _activated(builder: Builder, value: Value, activation: str) -> Value:
    return value if activation == "none" else builder.op(f"nn.{activation}", value)


_WRITTEN: Mapping[str, Callable[[_Writer, Builder, Node], Value]] = {
    "qnn.conv2d": _sum,
    "qnn.conv2d_transpose": _sum,
    "qnn.linear": _sum,
    "qnn.matmul": _matmul,
    "qnn.add": _binary,
    "qnn.mul": _binary,
    "qnn.average_pool2d": _unary,
    "qnn.global_average_pool": _unary,
    "qnn.resize": _unary,
    "qnn.requantize": _requantize,
    "qnn.lookup": _lookup,
}
