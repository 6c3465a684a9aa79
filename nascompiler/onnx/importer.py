"""From an ONNX file to a graph of the nn dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from nascompiler.ir.builder import Builder
from nascompiler.ir.constant import Constant
from nascompiler.ir.errors import ModelError
from nascompiler.ir.graph import Graph, Value
from nascompiler.ir.types import TensorType
from nascompiler.onnx.attributes import count_faults, decode_attributes, find_schema
from nascompiler.onnx.contributed import DOMAIN
from nascompiler.onnx.conversion import Conversion, Scope
from nascompiler.onnx.converters.registry import Converter
from nascompiler.onnx.converters.table import TABLE
from nascompiler.onnx.errors import OnnxError, Refusal, Unknown, UnsupportedNode, UnsupportedNodesError
from nascompiler.onnx.inputs import declared_type, input_types
from nascompiler.onnx.integer_sums import join_scaled_sums
from nascompiler.onnx.model_file import Model, read_model
from nascompiler.onnx.structure import node_name, sorted_nodes
from nascompiler.onnx.tensors import to_array


def import_onnx(source: str | Path | bytes, *, shapes: Mapping[str, Sequence[int]] | None = None) -> Graph:
    """The graph of an ONNX model (opset 7 and up), in the nn dialect.

    Inputs and outputs keep the model's names, element types and layouts (NCHW as a rule). Inside, spatial ops are NHWC:
    each stands between `transpose{permutation=(0, 2, 3, 1)}` and its inverse, and weights are permuted to HWIO; the
    pass propagate-layout moves the transposes to the edges. Shape computations are done at once as far as shapes are
    known; what remains stays as integer ops and `dynamic_*` ops. The origin of a node is `onnx:` and the name of the
    ONNX node, or its `OpType#index`.

    `shapes` gives inputs their shapes, in the model's layout, in place of symbolic or unknown dimensions.

    Raises:
        UnsupportedNodesError: inputs, weights and nodes that we cannot import, all of them.
        OnnxError: a file that is no valid model.
        UsageError: a shape for an unknown input, or one that contradicts the model.
    """
    model = read_model(source)
    nodes = sorted_nodes(model.label, model.proto.graph)
    importer = _Importer(model, shapes)
    for index, node in nodes:
        importer.add(index, node)
    return importer.finish()


_IMPOSSIBLE = (ValueError, TypeError, IndexError, ArithmeticError, AssertionError)
"""What NumPy and Python say of a node whose attributes and operands make no sense together."""


class _Importer:
    def __init__(self, model: Model, shapes: Mapping[str, Sequence[int]] | None) -> None:
        self.model = model
        self.scope = Scope(Builder(_graph_name(model)))
        self.graph = self.scope.builder.graph
        self.values: dict[str, Value] = {}
        self.behind_refused: set[Value] = set()
        proto = model.proto.graph
        types, self.faults = input_types(proto, shapes)
        for fault in self.faults:
            self._set_refused(fault.name)
        for name, type in types.items():
            self.values[name] = self.graph.add_input(name, type)
        for tensor in proto.initializer:
            self._add_initializer(tensor)
        for sparse in proto.sparse_initializer:
            self.faults.append(UnsupportedNode(sparse.values.name, "initializer", "sparse tensors are not supported"))
            self._set_refused(sparse.values.name)
        self.declared = {info.name: info for info in proto.value_info}
        self.reshaped = bool(shapes)

    def _add_initializer(self, tensor: onnx.TensorProto) -> None:
        try:
            array = to_array(tensor, self.model.external)
        except OnnxError as error:
            self.faults.append(UnsupportedNode(tensor.name, "initializer", str(error)))
            self._set_refused(tensor.name)
        else:
            self.values[tensor.name] = self.graph.constant(Constant.of(array), tensor.name)

    def _set_refused(self, name: str) -> None:
        """Let a placeholder stand for a value that cannot be had; what uses it is checked as far as that goes."""
        self.values[name] = Value(TensorType(None), name)
        self.behind_refused.add(self.values[name])

    def add(self, index: int, node: onnx.NodeProto) -> None:
        """Convert one node, or note why not."""
        name = node_name(node, index)
        self.scope.builder.origin = f"onnx:{name}"
        converter, attributes, reasons = self._check(node)
        operands = [self.values[i] if i else None for i in node.input]
        behind_refused = any(v in self.behind_refused for v in operands)
        results: tuple[Value, ...] = ()
        if converter is not None and not reasons:
            conversion = Conversion(self.scope, node, self.model.opset, operands, attributes)
            try:
                results = _as_tuple(converter.function(conversion))
                if len(results) < conversion.output_count:
                    raise Refusal(f"only the first {len(results)} of its outputs can be computed")
                if not behind_refused:
                    self._check_declared(node, results)
            except (Unknown, ModelError, *_IMPOSSIBLE) as error:
                if not behind_refused:
                    reasons.append(str(error) or type(error).__name__)
            except Refusal as error:
                reasons.append(str(error))
        self.faults += [UnsupportedNode(name, self._operator(node), reason) for reason in reasons]
        self._bind(node, results, refused=bool(reasons) or behind_refused)

    def _check(self, node: onnx.NodeProto) -> tuple[Converter | None, dict[str, Any], list[str]]:
        """The converter, the decoded attributes, and what is wrong with the node regardless of its operands."""
        contributed = node.domain == DOMAIN
        if node.domain not in ("", "ai.onnx", DOMAIN):
            return None, {}, [f"domain {node.domain!r} is not supported"]
        schema = find_schema(node.op_type, self.model.opset, node.domain)
        if schema is None and not contributed:
            return None, {}, [f"ONNX has no such operator in opset {self.model.opset}"]
        converter = TABLE.find(f"{DOMAIN}.{node.op_type}" if contributed else node.op_type, self.model.opset)
        if converter is None or schema is None:
            return None, {}, ["this operator is not supported"]
        attributes, reasons = decode_attributes(node, schema, self.model.external)
        reasons += count_faults(node, schema)
        reasons += converter.refused_attributes(attributes)
        return converter, attributes, reasons

    def _check_declared(self, node: onnx.NodeProto, results: Sequence[Value]) -> None:
        """Compare results with what the model declares for them; a stale intermediate size is not held against it."""
        for name, value in zip(node.output, results, strict=False):
            if name in self.declared and self.declared[name].type.WhichOneof("value") == "tensor_type":
                declared = declared_type(self.declared[name])
                if declared.dtype != value.type.dtype or _ranks_differ(declared, value.type):
                    raise OnnxError(f"{name!r} is declared {declared}, but the node makes {value.type}")

    def _bind(self, node: onnx.NodeProto, results: tuple[Value, ...], *, refused: bool) -> None:
        for position, name in enumerate(node.output):
            if not name:
                continue
            if refused or position >= len(results):
                self._set_refused(name)
                continue
            if not results[position].name:
                results[position].name = name
            self.values[name] = results[position]

    def _operator(self, node: onnx.NodeProto) -> str:
        if node.domain not in ("", "ai.onnx"):
            return f"{node.domain}.{node.op_type}"
        return f"{node.op_type}, opset {self.model.opset}"

    def finish(self) -> Graph:
        """Set the outputs and drop what nothing uses; raises UnsupportedNodesError when a node was refused."""
        if self.faults:
            raise UnsupportedNodesError(self.model.label, self.faults)
        proto = self.model.proto.graph
        outputs = {info.name: self.values[info.name] for info in proto.output}
        faults = []
        for info in proto.output:
            if info.type.WhichOneof("value") is None:
                continue
            try:
                declared, actual = declared_type(info), outputs[info.name].type
            except OnnxError as error:
                faults.append(str(error))
                continue
            wrong = declared.dtype != actual.dtype or _ranks_differ(declared, actual)
            if wrong or not (self.reshaped or declared.accepts(actual)):
                faults.append(f"output {info.name!r} is declared {declared}, but the graph makes {actual}")
        if faults:
            raise OnnxError(f"{self.model.label}: {'; '.join(faults)}")
        self.graph.set_outputs(outputs)
        join_scaled_sums(self.scope.builder, self.scope.integer_sums)
        for node in reversed(list(self.graph.nodes)):
            if not any(value.use_count for value in node.results):
                self.graph.erase(node)
        self.graph.attributes["source"] = "onnx"
        self.graph.attributes["opset"] = self.model.opset
        return self.graph


def _graph_name(model: Model) -> str:
    return model.proto.graph.name or "main"


def _ranks_differ(a: TensorType, b: TensorType) -> bool:
    return a.rank is not None and b.rank is not None and a.rank != b.rank


def _as_tuple(results: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    return results if isinstance(results, tuple) else (results,)
