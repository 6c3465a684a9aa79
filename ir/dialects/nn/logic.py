"""Comparisons, logic on booleans, and selection by them; all broadcast as NumPy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir.dialects.nn.inference import broadcast, dims, require_same_dtype
from nascompiler.ir.ops import OpDef, Operand, Trait, numbers, register_op
from nascompiler.ir.types import Array, DType, TensorType

_BOOLEANS = frozenset({DType.BOOL})


def _infer(a: TensorType, b: TensorType) -> TensorType:
    require_same_dtype(a=a, b=b)
    return TensorType(broadcast(a=a, b=b), DType.BOOL)


def _relation(
    name: str,
    summary: str,
    evaluate: Callable[..., Any],
    operand: Callable[[str], Operand],
    *,
    commutative: bool = False,
) -> None:
    register_op(
        OpDef(
            name=f"nn.{name}",
            summary=summary,
            operands=(operand("a"), operand("b")),
            infer=_infer,
            evaluate=lambda a, b: np.asarray(evaluate(a, b)),
            traits=frozenset({Trait.ELEMENTWISE} | ({Trait.COMMUTATIVE} if commutative else set())),
            result_dtype=DType.BOOL,
        )
    )


def _boolean(name: str) -> Operand:
    return Operand(name, _BOOLEANS)


_relation("equal", "Whether a = b; false where either is NaN.", np.equal, Operand, commutative=True)
_relation("less", "Whether a < b.", np.less, numbers)
_relation("greater", "Whether a > b.", np.greater, numbers)
_relation("less_equal", "Whether a <= b.", np.less_equal, numbers)
_relation("greater_equal", "Whether a >= b.", np.greater_equal, numbers)
_relation("logical_and", "Whether a and b are both true.", np.logical_and, _boolean, commutative=True)
_relation("logical_or", "Whether a, b or both are true.", np.logical_or, _boolean, commutative=True)
_relation("logical_xor", "Whether just one of a and b is true.", np.logical_xor, _boolean, commutative=True)

register_op(
    OpDef(
        name="nn.logical_not",
        summary="Whether x is false.",
        operands=(_boolean("x"),),
        infer=lambda x: TensorType(dims(x), DType.BOOL),
        evaluate=lambda x: np.asarray(np.logical_not(x)),
        traits=frozenset({Trait.ELEMENTWISE}),
    )
)


def _infer_where(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    require_same_dtype(x=x, y=y)
    return TensorType(broadcast(condition=condition, x=x, y=y), x.dtype)


def _where(condition: Array, x: Array, y: Array) -> Array:
    return np.where(condition, x, y)


register_op(
    OpDef(
        name="nn.where",
        summary="x where the condition holds, y elsewhere; the three broadcast.",
        operands=(_boolean("condition"), Operand("x"), Operand("y")),
        infer=_infer_where,
        evaluate=_where,
        traits=frozenset({Trait.ELEMENTWISE}),
        result_dtype=1,
    )
)
