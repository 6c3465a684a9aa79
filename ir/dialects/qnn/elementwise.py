"""Addition and multiplication of quantised tensors, which broadcast as NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir.dialects.nn.inference import broadcast
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.dialects.qnn.declarations import CLAMP, RESULT, affine, integer_type, quantized, require_scale
from nascompiler.ir.ops import InferenceError, OpDef, Trait, register_op
from nascompiler.ir.types import Array, DType, TensorType


def _infer(
    a: TensorType,
    b: TensorType,
    *,
    a_scale: float,
    a_zero_point: int,
    b_scale: float,
    b_zero_point: int,
    scale: float,
    zero_point: int,
    dtype: DType,
    activation: str,
) -> TensorType:
    require_scale("a", a, a_scale, a_zero_point)
    require_scale("b", b, b_scale, b_zero_point)
    return integer_type(broadcast(a=a, b=b), dtype, scale, zero_point)


def _infer_product(a: TensorType, b: TensorType, *, a_zero_point: int, b_zero_point: int, **others: Any) -> TensorType:
    made = _infer(a, b, a_zero_point=a_zero_point, b_zero_point=b_zero_point, **others)
    largest = arithmetic.reach(a.dtype, a_zero_point) * arithmetic.reach(b.dtype, b_zero_point)
    if largest >= arithmetic.ACCUMULATOR_LIMIT:
        raise InferenceError(
            f"a product of {a.dtype} and {b.dtype} with zero points {a_zero_point} and {b_zero_point} can reach "
            f"{largest}, more than 32 bits hold; with i16 and zero points of 0 it fits"
        )
    return made


def _evaluator(combine: Callable[..., Any]) -> Callable[..., Array]:
    def evaluate(
        a: Array,
        b: Array,
        *,
        a_scale: float,
        a_zero_point: int,
        b_scale: float,
        b_zero_point: int,
        scale: float,
        zero_point: int,
        dtype: DType,
        activation: str,
    ) -> Array:
        f = combine(arithmetic.shifted(a, a_zero_point), arithmetic.shifted(b, b_zero_point), a_scale, b_scale, scale)
        bounds = arithmetic.clamp_limits(dtype, activation, scale, zero_point)
        return arithmetic.to_integers(f, zero_point, dtype, bounds)

    return evaluate


def _sum(a: Array, b: Array, a_scale: float, b_scale: float, scale: float) -> Any:
    left = np.multiply(a.astype(np.float32), arithmetic.ratio(a_scale, scale))
    right = np.multiply(b.astype(np.float32), arithmetic.ratio(b_scale, scale))
    return np.add(left, right)


def _product(a: Array, b: Array, a_scale: float, b_scale: float, scale: float) -> Any:
    product = np.multiply(a, b, dtype=np.int32)
    return np.multiply(
        product.astype(np.float32), arithmetic.multipliers(a_scale, np.asarray(b_scale, np.float32), scale)
    )


def _register(name: str, summary: str, combine: Callable[..., Any], infer: Callable[..., TensorType]) -> None:
    register_op(
        OpDef(
            name=f"qnn.{name}",
            summary=summary,
            operands=(quantized("a"), quantized("b")),
            attributes=(*affine("a_"), *affine("b_"), *RESULT, CLAMP),
            infer=infer,
            evaluate=_evaluator(combine),
            traits=frozenset({Trait.ELEMENTWISE}),
            result_dtype="dtype",
        )
    )


_register(
    "add",
    "f = float32(a - a_zero_point) * float32(a_scale / scale) + float32(b - b_zero_point) * float32(b_scale / scale), "
    "both products rounded before the sum; q = clamp(rint(f) + zero_point), relu and relu6 as in qnn.conv2d.",
    _sum,
    _infer,
)
_register(
    "mul",
    "f = float32((a - a_zero_point) * (b - b_zero_point)) * float32(float32(a_scale * b_scale) / scale), the product "
    "of the integers exact in int32; q = clamp(rint(f) + zero_point), relu and relu6 as in qnn.conv2d.",
    _product,
    _infer_product,
)
