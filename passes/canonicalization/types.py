"""What the rules ask about types and constants."""

from __future__ import annotations

from nascompiler.ir import TensorType, Value


def same_for_sure(a: TensorType, b: TensorType) -> bool:
    """Whether two types are equal and no dimension is unknown; a symbol stands for one size."""
    return a == b and a.shape is not None and None not in a.shape


def same_elements(a: TensorType, b: TensorType) -> bool:
    """Whether the elements have the same type and stand for the same reals."""
    return a.dtype == b.dtype and a.quantization == b.quantization


def keeps_shape(x: Value, other: Value) -> bool:
    """Whether broadcasting `x` against `other` certainly gives the shape of `x`."""
    if x.type.shape is None or other.type.shape is None or len(other.type.shape) > len(x.type.shape):
        return False
    aligned = zip(reversed(x.type.shape), reversed(other.type.shape), strict=False)
    return all(theirs == 1 or (own is not None and own == theirs) for own, theirs in aligned)


def single_number(value: Value) -> float | int | None:
    """The number that all elements of a constant are equal to, or None. A NaN is none."""
    array = value.array
    if array is None or not array.size:
        return None
    number = array.flat[0].item()  # first alone: most constants are large and differ
    return number if (array == number).all() else None
