"""The float32 steps of quantised arithmetic as tensor expressions, so that no code generator can merge two of them.

LLVM is told by TVM that it may contract a multiplication and an addition next to it into one rounding, and does so
wherever the processor has a fused multiply-add. Two things keep them apart here:

- A product that an addition takes passes through `rounded`: the larger of it and the lowest float32. That changes
  nothing but minus infinity, which a product of finite scales and integers never is, so it may not be left out by a
  compiler that does not know this; and LLVM contracts only what is adjacent. It costs one instruction and, other than
  the intrinsic `llvm.arithmetic.fence`, lets loops become vector code on every processor.
- Rounding to integers adds a number to what has just been clamped, where the clamp stands between.
"""

from __future__ import annotations

import numpy as np
from tvm import tirx

from nascompiler.backends.tvm_adapter.leftovers.expressions import Expr, number
from nascompiler.ir.types import DType

_MAGIC = 1.5 * 2**23
"""Floats from here on, up to 2 ** 22 away, are integers: adding it rounds to the nearest, halves to the even one."""
_MAGIC_BITS = int(np.asarray(_MAGIC, np.float32).view(np.int32))
_LOWEST = float(np.finfo(np.float32).min)


def float32(value: float | np.floating) -> Expr:
    """A constant that float32 holds."""
    return number(float(value), "float32")


def shifted(x: Expr, zero_point: int) -> Expr:
    """x - zero_point in int32."""
    wide = x.astype("int32")
    return wide - number(zero_point, "int32") if zero_point else wide


def rounded(product: Expr) -> Expr:
    """A float32 product as a value of its own, rounded before anything is added to it; see the module."""
    return tirx.max(product, float32(_LOWEST))


def clamped(x: Expr, low: float, high: float) -> Expr:
    """x from `low` to `high`."""
    return tirx.min(tirx.max(x, float32(low)), float32(high))


def to_integers(f: Expr, zero_point: int, dtype: DType, bounds: tuple[int, int]) -> Expr:
    """clamp(rint(f) + zero_point, *bounds), as `arithmetic.to_integers`.

    The clamped number plus 1.5 * 2 ** 23 holds its rounded value in the low bits: one addition on any processor, where
    rint is a function call on those without SSE4.
    """
    low, high = (float(np.float32(bound - zero_point)) for bound in bounds)
    bits = tirx.reinterpret("int32", clamped(f, low, high) + float32(_MAGIC))
    return (bits - number(_MAGIC_BITS - zero_point, "int32")).astype(str(dtype.numpy))


def activated(x: Expr, activation: str) -> Expr:
    """An activation in float32, as `arithmetic.activate`."""
    if activation == "none":
        return x
    if activation == "relu":
        return tirx.max(x, float32(0))
    if activation == "relu6":
        return clamped(x, 0, 6)
    gate = clamped(rounded(x * float32(np.float32(1 / 6))) + float32(0.5), 0, 1)
    return gate if activation == "hard_sigmoid" else x * gate
