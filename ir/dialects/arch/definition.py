"""How arch ops are declared: like all others, but without inference, evaluation or cost, which come with expansion."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nascompiler.ir.attributes import Attribute, AttributeDef
from nascompiler.ir.ops import OpDef, Operand, register_op
from nascompiler.ir.text.syntax import UNKNOWN
from nascompiler.ir.types import TensorType

ACTIVATIONS = ("none", "relu", "relu6", "hard_swish", "swish", "sigmoid", "tanh")


def architecture_op(
    name: str,
    summary: str,
    *operands: Operand,
    attributes: tuple[AttributeDef, ...],
    results: int | Callable[[Mapping[str, Attribute]], int] = 1,
) -> OpDef:
    """Register `arch.NAME`; its results have unknown types."""

    def infer(*types: TensorType | None, **values: Attribute) -> tuple[TensorType, ...]:
        return (UNKNOWN,) * (results if isinstance(results, int) else results(values))

    return register_op(
        OpDef(
            name=f"arch.{name}",
            summary=summary,
            operands=operands,
            attributes=attributes,
            infer=infer,
            results=results,
        )
    )
