"""Operators of the domain com.microsoft that ONNX Runtime's quantiser writes, as schemas for the checks of a node.

From https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md. The onnx package knows only the
operators of ONNX itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper

DOMAIN = "com.microsoft"

_OpSchema = onnx.defs.OpSchema
_OPTIONAL = _OpSchema.FormalParameterOption.Optional
_VARIADIC = _OpSchema.FormalParameterOption.Variadic


def _schema(
    operator: str, required: int, optional: int = 0, *, variadic: bool = False, attributes: Sequence[Any] = ()
) -> onnx.defs.OpSchema:
    """An operator with one output; `variadic`: the last required input may be repeated."""
    inputs = [_OpSchema.FormalParameter(f"x{i}", "T") for i in range(required - variadic)]
    if variadic:
        inputs.append(_OpSchema.FormalParameter("rest", "T", param_option=_VARIADIC, is_homogeneous=False))
    inputs += [_OpSchema.FormalParameter(f"o{i}", "T", param_option=_OPTIONAL) for i in range(optional)]
    return _OpSchema(
        operator,
        DOMAIN,
        1,
        inputs=inputs,
        outputs=[_OpSchema.FormalParameter("y", "T")],
        type_constraints=[("T", ["tensor(float)"], "")],
        attributes=list(attributes),
    )


def _default(name: str, value: Any) -> Any:
    return _OpSchema.Attribute(name, helper.make_attribute(name, value))


def _given(name: str, type: Any, *, required: bool = False) -> Any:
    return _OpSchema.Attribute(name, type, required=required)


_INT, _INTS = _OpSchema.AttrType.INT, _OpSchema.AttrType.INTS

_SCHEMAS = {
    schema.name: schema
    for schema in (
        _schema("QuantizeLinear", 2, 1, attributes=[_given("axis", _INT)]),
        _schema("DequantizeLinear", 2, 1, attributes=[_given("axis", _INT)]),
        _schema(
            "QGemm", 6, 3, attributes=[_default("alpha", 1.0), *(_default(name, 0) for name in ("transA", "transB"))]
        ),
        _schema("QLinearAdd", 7, 1),
        _schema("QLinearMul", 7, 1),
        _schema("QLinearSigmoid", 4, 1),
        _schema("QLinearLeakyRelu", 4, 1, attributes=[_default("alpha", 0.01)]),
        _schema("QLinearSoftmax", 5, attributes=[_default("axis", -1), _given("opset", _INT, required=True)]),
        _schema("QLinearGlobalAveragePool", 5, attributes=[_default("channels_last", 0)]),
        _schema(
            "QLinearAveragePool",
            4,
            1,
            attributes=[
                _default("auto_pad", "NOTSET"),
                _default("ceil_mode", 0),
                _default("channels_last", 0),
                _default("count_include_pad", 0),
                _given("kernel_shape", _INTS, required=True),
                _given("pads", _INTS),
                _given("strides", _INTS),
                _given("dilations", _INTS),
            ],
        ),
        _schema("QLinearConcat", 3, variadic=True, attributes=[_given("axis", _INT, required=True)]),
    )
}


def find_contributed_schema(operator: str) -> onnx.defs.OpSchema | None:
    """The schema of an operator of com.microsoft, None for one that the importer does not know."""
    return _SCHEMAS.get(operator)
