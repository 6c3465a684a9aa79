"""The integer form of a float network without its numbers: what it would cost, not what it would compute.

Latency on integers depends on shapes and types alone. Calibration and rounding weights take seconds; this takes
milliseconds: scales are 1, zero points 0, weights lazy zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir import DType, Graph, Node, Value
from nascompiler.ir.constant import Constant
from nascompiler.ir.types import Dim, Quantization, TensorType
from nascompiler.passes.quantization.forms import Form, form_of, parameters_of
from nascompiler.passes.quantization.plan import Plan, make_plan
from nascompiler.passes.quantization.preparation import prepare

STRUCTURE = "structure-only"
"""The attribute of a graph whose constants mean nothing."""


def integer_structure(
    graph: Graph,
    dtype: DType = DType.I8,
    *,
    weight_dtype: DType = DType.I8,
    byte_tables: bool = False,
    whole: bool = False,
) -> Graph:
    """The graph that quantising a float network would give, but for scales, zero points and the values of constants.

    `dtype` is that of activations; `weight_dtype`, `byte_tables` and `whole` as in `quantizer.Settings`. Raises
    UsageError as `prepare` does.
    """
    prepared = prepare(graph)
    plan = make_plan(prepared, dtype=dtype, byte_tables=byte_tables, whole=whole)
    return _Structure(prepared, plan, dtype, weight_dtype).run()


def _zeros(type: TensorType) -> Constant:
    return Constant.lazy(type, lambda: np.zeros(type.static_shape, type.dtype.numpy))


_UNIT = Quantization.per_tensor(1.0)


def _typed(shape: tuple[Dim, ...] | None, dtype: DType) -> TensorType:
    """The type of a result, which is known without asking the op: the float network has its shape."""
    return TensorType(shape, dtype, None if dtype.is_float else _UNIT)


class _Structure:
    def __init__(self, graph: Graph, plan: Plan, dtype: DType, weight_dtype: DType) -> None:
        self.source, self.plan, self.dtype, self.weight_dtype = graph, plan, dtype, weight_dtype
        self.graph = Graph(graph.name)
        self.graph.attributes = {**graph.attributes, STRUCTURE: True}
        self.floats: dict[Value, Value] = {}
        self.integers: dict[Value, Value] = {}
        self.absorbers = {maker: activation for activation, maker in plan.absorbed.items()}

    def run(self) -> Graph:
        for value in self.source.inputs:
            self.floats[value] = self.graph.add_input(value.name, value.type)
        for node in self.source.nodes:
            if node in self.plan.absorbed:
                continue
            if node in self.plan.integer:
                self._integer(node)
            else:
                self._float(node)
        outputs = {}
        for name, value in zip(self.source.output_names, self.source.outputs, strict=True):
            outputs[name] = self._as_float(value)
        self.graph.set_outputs(outputs)
        return self.graph

    def _constant(self, shape: tuple[int, ...], dtype: DType) -> Value:
        return self.graph.constant(_zeros(TensorType(shape, dtype)))

    def _as_integer(self, value: Value) -> Value:
        if value not in self.integers:
            dtype = self.plan.values.get(value, self.dtype)
            if value.is_constant:
                return self._constant(value.type.static_shape, dtype)
            attributes = {"scale": 1.0, "dtype": dtype}
            types = [_typed(value.type.shape, dtype)]
            made = self.graph.insert("qnn.quantize", (self._as_float(value),), attributes, types=types)
            self.integers[value] = made.result
        return self.integers[value]

    def _as_float(self, value: Value) -> Value:
        if value not in self.floats:
            if value.constant is not None:
                self.floats[value] = self.graph.constant(value.constant, value.name)
            else:
                made = self.graph.insert("qnn.dequantize", (self.integers[value],), {"x_scale": 1.0})
                self.floats[value] = made.result
        return self.floats[value]

    def _float(self, node: Node) -> None:
        made = self.graph.insert(
            node.op,
            [self._as_float(v) for v in node.operands],
            node.attributes,
            names=[v.name for v in node.results],
            origin=node.origin,
        )
        self.floats.update(zip(node.results, made.results, strict=True))

    def _integer(self, node: Node) -> None:
        form = form_of(node)
        activation = self.absorbers.get(node)
        last = node if activation is None else activation
        end = last.results[0]
        wanted = self.plan.values.get(end)
        common: dict[str, Any] = {"scale": 1.0, "dtype": wanted or self.dtype}
        own = {k: v for k, v in node.attributes.items() if k != "activation"}
        name = node.op.name.replace("nn.", "qnn.")
        operands: list[Value]
        if form is Form.SUM and node.op.name != "nn.matmul":
            weight = node.operands[1].type.static_shape
            features = end.type.static_shape[-1]
            operands = [self._as_integer(node.operands[0]), self._constant(weight, self.weight_dtype)]
            operands += [self._constant((features,), DType.F32), self._constant((features,), DType.I32)]
            function = "none" if activation is None else activation.op.name.removeprefix("nn.")
            attributes = {**own, "x_scale": 1.0, "activation": function, **common}
            attributes["dtype"] = wanted or DType.F32
        elif len(node.operands) == 2 and form in (Form.SUM, Form.ARITHMETIC):
            operands = [self._as_integer(v) for v in node.operands]
            attributes = {"a_scale": 1.0, "b_scale": 1.0, **common}
            if form is Form.ARITHMETIC and activation is not None:
                attributes["activation"] = activation.op.name.removeprefix("nn.")
        elif form is Form.ARITHMETIC:
            operands = [self._as_integer(node.operands[0])]
            attributes = {**own, "x_scale": 1.0, **common}
        elif form is Form.LOOKUP:
            x = self._as_integer(node.operands[0])
            if node in self.plan.narrowed:
                index = {"x_scale": 1.0, "scale": 1.0, "dtype": DType.I8}
                x = self.graph.insert("qnn.requantize", (x,), index, origin=node.origin).result
            operands = [x, self._constant((1 << 8 * x.type.dtype.bytes,), wanted or self.dtype)]
            attributes = {"x_scale": 1.0, "scale": 1.0, "function": node.op.name, "parameters": parameters_of(node)}
            name = "qnn.lookup"
        else:
            operands = [self._as_integer(v) if v.type.dtype is DType.F32 else self._as_float(v) for v in node.operands]
            attributes, name = dict(node.attributes), node.op.name
        names = [v.name for v in last.results]
        if len(names) == 1:  # as quantising names it
            names = [names[0] or node.results[0].name]
        types = (
            None if form is Form.PASSIVE else [_typed(end.type.shape, attributes.get("dtype", wanted or self.dtype))]
        )
        made = self.graph.insert(name, operands, attributes, names=names, origin=node.origin, types=types)
        for old, new in zip(last.results, made.results, strict=True):
            (self.floats if new.type.dtype is DType.F32 else self.integers)[old] = new
