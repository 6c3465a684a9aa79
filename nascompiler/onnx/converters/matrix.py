"""Matrix products."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.tensors import MAXIMUM_MADE

FAMILY = Family()


@FAMILY.op("MatMul")
def matmul(c: Conversion) -> Value:
    """With dequantised weights it is a linear layer, whose integer form has a scale for each output channel."""
    a, b = c.operand(0), c.operand(1)
    if c.is_dequantized_constant(b) and b.type.rank == 2 and (a.type.rank or 0) >= 2:
        return c.op("linear", a, b)
    return c.op("matmul", a, b)


@FAMILY.op("Gemm")
def gemm(c: Conversion) -> Value:
    """alpha * A' B' + beta * C; a constant B takes alpha up, and with a bias of one row it is a linear layer."""
    a, b, bias = c.operand(0), c.operand(1), c.optional(2)
    alpha, beta = c.number("alpha"), c.number("beta")
    if c.boolean("transA"):
        a = c.transpose(a, (1, 0))
    if c.boolean("transB"):
        b = c.transpose(b, (1, 0))
    if b.array is not None and alpha != 1:
        b, alpha = c.constant(b.array * np.asarray(alpha, b.array.dtype)), 1.0
    if bias is not None and bias.array is not None and beta != 1:
        bias, beta = c.constant(bias.array * np.asarray(beta, bias.array.dtype)), 1.0
    row = bias if bias is None else as_row(c, bias, b)
    if alpha == 1 and beta == 1 and (bias is None or row is not None):
        return c.op("linear", a, b, row)
    product = c.op("matmul", a, b)
    if alpha != 1:
        product = c.op("mul", product, c.scalar(alpha, product))
    if bias is None or beta == 0:
        return product
    return c.op("add", product, bias if beta == 1 else c.op("mul", bias, c.scalar(beta, bias)))


def as_row(c: Conversion, bias: Value, weight: Value) -> Value | None:
    """The bias as [N] when it is the same for every row, else None."""
    columns = weight.type.shape[1] if weight.type.rank == 2 and weight.type.shape else None
    if bias.type.rank == 1 and bias.type.shape == (columns,):
        return bias
    if bias.array is None or not isinstance(columns, int) or columns > MAXIMUM_MADE:
        return None
    if bias.array.ndim > 2 or (bias.array.ndim == 2 and bias.array.shape[0] != 1):
        return None
    return c.constant(np.broadcast_to(bias.array.reshape(-1), (columns,))) if bias.array.size in (1, columns) else None
