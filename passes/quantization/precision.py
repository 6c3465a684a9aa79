"""How many bits activations and weights have: four modes, which multipliers of 8 bits run at full, half and quarter
speed."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import DType
from nascompiler.ir.errors import unknown


@dataclass(frozen=True)
class Precision:
    """The integer types of activations and of weights."""

    activations: DType = DType.I8
    weights: DType = DType.I8


PRECISIONS = {
    "int8": Precision(),
    "int16x8": Precision(activations=DType.I16),
    "int8x16": Precision(weights=DType.I16),
    "int16": Precision(DType.I16, DType.I16),
}
"""By name, activations first."""


def precision_of(name: str) -> Precision:
    """The mode of that name; raises UsageError for another."""
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    return PRECISIONS[name]


def precision_name(activations: DType, weights: DType) -> str:
    """The name of the mode in which activations and weights have as many bits as these types."""
    bits = (activations.bytes, weights.bytes)
    return next(n for n, p in PRECISIONS.items() if (p.activations.bytes, p.weights.bytes) == bits)
