"""A node against the schema of its operator: attributes decoded with defaults, counts of inputs and outputs checked."""

from __future__ import annotations

from typing import Any

import onnx

from nascompiler.onnx.contributed import DOMAIN, find_contributed_schema
from nascompiler.onnx.errors import OnnxError
from nascompiler.onnx.external_data import ExternalData
from nascompiler.onnx.tensors import to_array

_TYPES = onnx.AttributeProto.AttributeType
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def find_schema(operator: str, opset: int, domain: str = "") -> onnx.defs.OpSchema | None:
    """The schema of an operator of the default domain or of com.microsoft, None when there is none."""
    if domain == DOMAIN:
        return find_contributed_schema(operator)
    try:
        return onnx.defs.get_schema(operator, opset, "")
    except onnx.defs.SchemaError:
        return None


def decode_attributes(
    node: onnx.NodeProto, schema: onnx.defs.OpSchema, external: ExternalData
) -> tuple[dict[str, Any], list[str]]:
    """The attributes as Python values, the schema's defaults included, and everything wrong with them."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for attribute in node.attribute:
        declared = schema.attributes.get(attribute.name)
        if declared is None:
            faults.append(f"unknown attribute {attribute.name!r}")
        elif attribute.name in values:
            faults.append(f"attribute {attribute.name!r} is given twice")
        elif attribute.ref_attr_name or attribute.type != declared.type.value:  # type: ignore[attr-defined]
            faults.append(f"attribute {attribute.name!r} is not of type {declared.type.name}")  # type: ignore[attr-defined]
        else:
            try:
                values[attribute.name] = _decode(attribute, external)
            except OnnxError as error:
                faults.append(f"attribute {attribute.name!r}: {error}")
    for name, declared in schema.attributes.items():
        if name in values:
            continue
        if declared.required:
            faults.append(f"attribute {name!r} is missing")
        elif declared.default_value.type:
            values[name] = _decode(declared.default_value, external)
    return values, faults


def count_faults(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> list[str]:
    """What is wrong with the numbers of inputs and outputs."""
    faults = []
    if not schema.min_input <= len(node.input) <= schema.max_input:
        faults.append(f"{len(node.input)} inputs; {schema.min_input} to {schema.max_input} are expected")
    if not schema.min_output <= len(node.output) <= schema.max_output or not any(node.output):
        faults.append(f"{len(node.output)} outputs; {schema.min_output} to {schema.max_output} are expected")
    return faults


def _decode(attribute: onnx.AttributeProto, external: ExternalData) -> Any:
    kind = attribute.type
    if kind == onnx.AttributeProto.FLOAT:
        return attribute.f
    if kind == onnx.AttributeProto.INT:
        return attribute.i
    if kind == onnx.AttributeProto.STRING:
        return _text(attribute.s)
    if kind == onnx.AttributeProto.FLOATS:
        return tuple(attribute.floats)
    if kind == onnx.AttributeProto.INTS:
        return tuple(attribute.ints)
    if kind == onnx.AttributeProto.STRINGS:
        return tuple(_text(s) for s in attribute.strings)
    if kind == onnx.AttributeProto.TENSOR:
        return to_array(attribute.t, external)
    if kind in _GRAPHS:
        raise OnnxError("sub-graphs are not supported")
    raise OnnxError(f"attributes of type {_TYPES.Name(kind)} are not supported")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise OnnxError("it is not UTF-8 text") from None
