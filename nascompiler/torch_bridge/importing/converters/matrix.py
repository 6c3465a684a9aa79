"""Matrix products and attention."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()


@FAMILY.op("linear")
def linear(c: Conversion) -> Value:
    """torch's weight is [outputs, inputs], ours [inputs, outputs]."""
    return c.op("linear", c.value("input"), c.transpose(c.value("weight"), (1, 0)), c.optional("bias"))


@FAMILY.op("mm", "bmm", "matmul", "mv", "dot")
def matmul(c: Conversion) -> Value:
    a, b = c.value("self"), c.value("mat2", "other", "vec", "vec2", "tensor")
    if b.is_constant and c.rank(b) == 2 and c.dtype.is_float:
        return c.op("linear", a, b)
    return c.op("matmul", a, b)


@FAMILY.op("addmm", "baddbmm", "addmv")
def add_product(c: Conversion) -> Value:
    """beta * self + alpha * (a @ b)."""
    added, a, b = c.value("self"), c.value("mat1", "batch1", "mat"), c.value("mat2", "batch2", "vec")
    if c.raw("beta") not in (None, 1) or c.raw("alpha") not in (None, 1):
        raise Refusal(f"beta={c.raw('beta')}, alpha={c.raw('alpha')}; accepted: 1")
    if b.is_constant and c.rank(b) == 2 and c.rank(added) == 1 and c.shape(added)[0] == c.shape(b)[1]:
        return c.op("linear", a, b, added)
    return c.op("add", added, c.op("matmul", a, b))


@FAMILY.op("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu")
def attention(c: Conversion) -> tuple[Any, ...]:
    """softmax(q k^T * scale + mask) v (arXiv:1706.03762, equation 1)."""
    query, key, value = c.value("query"), c.value("key"), c.value("value")
    if c.boolean("enable_gqa"):
        raise Refusal("enable_gqa is not supported")
    rank, dtype = c.rank(query), c.dtype
    scale = c.raw("scale")
    factor = 1 / sqrt(c.dim(query, -1)) if scale is None else float(scale)
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    scores = c.op("matmul", c.op("mul", query, c.constant(factor, dtype)), c.transpose(key, swapped))
    mask = c.optional("attn_mask")
    if c.boolean("is_causal"):
        allowed = np.tri(c.dim(query, -2), c.dim(key, -2), dtype=bool)
        mask = c.constant(allowed)
    if mask is not None and mask.type.dtype is DType.BOOL:
        scores = c.op("where", mask, scores, c.constant(-np.inf, dtype))
    elif mask is not None:
        scores = c.op("add", scores, mask)
    return c.op("matmul", c.op("softmax", scores, axis=-1), value), None
