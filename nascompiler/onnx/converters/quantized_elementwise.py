"""Operators of com.microsoft on quantised tensors other than sums of products.

ONNX Runtime computes them in float32 in an order of its own: its results may be one integer away from ours.
"""

from __future__ import annotations

from typing import Any

from nascompiler.ir.dialects.qnn.lookup import function_table
from nascompiler.ir.graph import Value
from nascompiler.onnx.contributed import DOMAIN
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.pooling import read_pool, window_attributes
from nascompiler.onnx.converters.quantization_parameters import Affine, per_tensor
from nascompiler.onnx.converters.registry import Family, Function
from nascompiler.onnx.errors import Refusal

FAMILY = Family()


def _binary(op: str) -> Function:
    def convert(c: Conversion) -> Value:
        a, b = c.operand(0), c.operand(3)
        operands = {**per_tensor(c, a, 1, 2).operand("a"), **per_tensor(c, b, 4, 5).operand("b")}
        return c.op(f"qnn.{op}", a, b, **operands, **_result(c, a, 6, 7).result())

    return convert


def _result(c: Conversion, x: Value, scale: int, zero_point: int) -> Affine:
    """The quantisation of a result, of the element type of `x` where its zero point is left out."""
    return per_tensor(c, x if c.optional(zero_point) is None else None, scale, zero_point)


FAMILY.add(_binary("add"), f"{DOMAIN}.QLinearAdd")
FAMILY.add(_binary("mul"), f"{DOMAIN}.QLinearMul")


def _table(op: str, *numbers: str) -> Function:
    def convert(c: Conversion) -> Value:
        x = c.operand(0)
        affine, result = per_tensor(c, x, 1, 2), _result(c, x, 3, 4)
        function, parameters = f"nn.{op}", tuple(map(c.number, numbers))
        target: dict[str, Any] = {"scale": result.scale, "zero_point": result.zero_point}
        table = function_table(
            function, parameters, **affine.operand(), x_dtype=affine.dtype, dtype=result.dtype, **target
        )
        made = {**affine.operand(), **target, "function": function, "parameters": parameters}
        return c.op("qnn.lookup", x, c.constant(table), **made)

    return convert


FAMILY.add(_table("sigmoid"), f"{DOMAIN}.QLinearSigmoid")
FAMILY.add(_table("leaky_relu", "alpha"), f"{DOMAIN}.QLinearLeakyRelu")


@FAMILY.op(f"{DOMAIN}.QLinearSoftmax")
def softmax(c: Conversion) -> Value:
    """Stays in float between dequantize and quantize. Before opset 13 it is along the last axis only."""
    x = c.operand(0)
    rank = c.rank(x)
    axis = c.axis(c.integer("axis", -1), rank)
    if c.integer("opset") < 13 and axis != rank - 1:
        raise Refusal(f"axis {axis} of an operator of opset {c.integer('opset')}; the last axis is accepted")
    real = c.op("softmax", c.op("qnn.dequantize", x, **per_tensor(c, x, 1, 2).operand()), axis=axis)
    return c.op("qnn.quantize", real, **per_tensor(c, None, 3, 4).result())


@FAMILY.op(f"{DOMAIN}.QLinearAveragePool", channels_last=(0,))
def average_pool(c: Conversion) -> Value:
    """Unlike AveragePool, it counts the overhang of a last window under ceil_mode where it counts padding."""
    x = c.operand(0)
    affine, result = per_tensor(c, x, 1, 2), _result(c, x, 3, 4)
    spatial, image, window = read_pool(c)
    how = {"count_include_pad": c.boolean("count_include_pad"), **window_attributes(window)}
    return c.from_image(c.op("qnn.average_pool2d", image, **affine.operand(), **result.result(), **how), spatial)


@FAMILY.op(f"{DOMAIN}.QLinearGlobalAveragePool", channels_last=(0,))
def global_average_pool(c: Conversion) -> Value:
    x = c.operand(0)
    affine, result = per_tensor(c, x, 1, 2), per_tensor(c, None, 3, 4)
    image = c.channels_last(x)
    return c.channels_first(c.op("qnn.global_average_pool", image, **affine.operand(), **result.result()))


@FAMILY.op(f"{DOMAIN}.QLinearConcat")
def concat(c: Conversion) -> Value:
    """Parts at another scale than the result are requantised first."""
    result = per_tensor(c, None, 0, 1)
    count = len(c.operands) - 2
    if count % 3:
        raise Refusal(f"{count} inputs after the first two; values, scale and zero point of each part are expected")
    parts = []
    for index in range(2, 2 + count, 3):
        part = c.operand(index)
        affine = per_tensor(c, part, index + 1, index + 2)
        same = affine == result
        parts.append(part if same else c.op("qnn.requantize", part, **affine.operand(), **result.result()))
    return c.op("concat", *parts, axis=c.axis(c.integer("axis"), c.rank(parts[0])))
