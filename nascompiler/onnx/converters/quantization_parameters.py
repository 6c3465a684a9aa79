"""Scales and zero points of quantised operators, which must be constants of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.graph import Value
from nascompiler.ir.types import Array, DType
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.errors import Refusal, Unknown

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Affine:
    """One scale and zero point for a whole tensor: real = scale * (integer - zero_point)."""

    scale: float
    zero_point: int
    dtype: DType

    def operand(self, prefix: str = "x") -> dict[str, Any]:
        """The attributes of a qnn op that takes such a tensor as the operand of that name."""
        return {f"{prefix}_scale": self.scale, f"{prefix}_zero_point": self.zero_point}

    def result(self) -> dict[str, Any]:
        """The attributes of a qnn op that makes such a tensor."""
        return {"scale": self.scale, "zero_point": self.zero_point, "dtype": self.dtype}


def read_scales(c: Conversion, index: int) -> Floats:
    """The scales at an input, as a list; refuses computed ones, and numbers that are no scales."""
    array = _constant(c, index, "scale")
    if array is None:
        raise Refusal(f"input {index}, its scale, is missing")
    if array.dtype != np.float32:
        raise Refusal(f"its scale is {DType.of(array.dtype)}; f32 is accepted")
    scales = array.astype(np.float32).reshape(-1)
    if not np.all(np.isfinite(scales) & (scales > 0)):
        raise Refusal("its scale must be positive and finite")
    return scales


def read_zero_points(c: Conversion, index: int) -> Array | None:
    """The zero points at an input, as a list; None where they are left out. Refuses computed ones."""
    array = _constant(c, index, "zero point")
    return None if array is None else array.reshape(-1)


def _constant(c: Conversion, index: int, what: str) -> Array | None:
    value = c.optional(index)
    if value is None:
        return None
    if value.array is None:
        raise Unknown(f"its {what} is computed at run time; a constant is supported: quantise the model statically")
    return value.array


def per_tensor(c: Conversion, x: Value | None, scale: int, zero_point: int) -> Affine:
    """Scale and zero point at two inputs, of the tensor `x` where it exists; u8 without either.

    Refuses more than one of them: activations have one for the whole tensor.
    """
    scales, points = read_scales(c, scale), read_zero_points(c, zero_point)
    if scales.size != 1 or (points is not None and points.size != 1):
        raise Refusal(
            f"{max(scales.size, 0 if points is None else points.size)} scales or zero points for an activation; "
            "one for the whole tensor is accepted"
        )
    dtype = DType.U8 if x is None else x.type.dtype
    if points is not None:
        if x is not None and DType.of(points.dtype) != dtype:
            raise Unknown(f"its zero point is {DType.of(points.dtype)} where its values are {dtype}")
        dtype = DType.of(points.dtype)
    return Affine(float(scales[0]), 0 if points is None else int(points[0]), dtype)


def common_zero_point(points: Array | None) -> int | None:
    """The zero point that all channels of a weight share; None when they differ."""
    if points is None or points.size == 0:
        return 0
    return int(points[0]) if np.all(points == points[0]) else None
