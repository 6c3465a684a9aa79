"""Element types, tensor types and quantisation parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

Dim = int | str | None
"""A dimension: a size, the name of a symbolic size, or None where nothing is known."""

Array = NDArray[np.generic]
"""Any NumPy array; the dtype is checked by our own types, not by annotations."""


class DType(Enum):
    """An element type; the value is its spelling in the text form."""

    F16 = "f16"
    F32 = "f32"
    F64 = "f64"
    I8 = "i8"
    I16 = "i16"
    I32 = "i32"
    I64 = "i64"
    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    BOOL = "bool"

    __hash__ = object.__hash__  # there is one object of each: hashing its name takes longer

    def __str__(self) -> str:
        return self.value

    @cached_property
    def numpy(self) -> np.dtype[np.generic]:
        """The NumPy dtype of the same layout in memory."""
        return np.dtype(_NUMPY_NAMES[self])

    @cached_property
    def bytes(self) -> int:
        """Size of one element in bytes."""
        return int(self.numpy.itemsize)

    @property
    def is_float(self) -> bool:
        return self in (DType.F16, DType.F32, DType.F64)

    @property
    def is_signed(self) -> bool:
        """Whether it has negative numbers."""
        return not self.value.startswith("u") and self is not DType.BOOL

    @property
    def is_integer(self) -> bool:
        return not self.is_float and self is not DType.BOOL

    @classmethod
    def of(cls, dtype: np.typing.DTypeLike) -> DType:
        """The element type of a NumPy dtype; raises TypeError for one that the IR lacks."""
        name = np.dtype(dtype).name
        for member, numpy_name in _NUMPY_NAMES.items():
            if numpy_name == name:
                return member
        raise TypeError(f"element type {name} is not supported; accepted: {', '.join(_NUMPY_NAMES.values())}")


_NUMPY_NAMES = {
    DType.F16: "float16",
    DType.F32: "float32",
    DType.F64: "float64",
    DType.I8: "int8",
    DType.I16: "int16",
    DType.I32: "int32",
    DType.I64: "int64",
    DType.U8: "uint8",
    DType.U16: "uint16",
    DType.U32: "uint32",
    DType.U64: "uint64",
    DType.BOOL: "bool",
}


@dataclass(frozen=True)
class Quantization:
    """Affine quantisation: real = scale * (integer - zero_point).

    One scale and zero point for the whole tensor (`axis` is None), or one for each index along `axis`.
    Scales are float32 values, kept as Python floats that convert to float32 without loss.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...] = (0,)
    axis: int | None = None

    def __post_init__(self) -> None:
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise ValueError(f"{len(self.scale)} scales but {len(self.zero_point)} zero points; one each is needed")
        if self.axis is None and len(self.scale) != 1:
            raise ValueError(f"{len(self.scale)} scales without an axis; a per-tensor quantisation has one")
        with np.errstate(over="ignore"):
            scale = tuple(float(np.float32(s)) for s in self.scale)
        if not all(0 < s < float("inf") for s in scale):
            raise ValueError("a scale must be positive and finite in single precision")
        object.__setattr__(self, "scale", scale)

    @classmethod
    def per_tensor(cls, scale: float, zero_point: int = 0) -> Quantization:
        return cls((float(scale),), (int(zero_point),))

    @classmethod
    def per_axis(cls, scale: Iterable[float], zero_point: Iterable[int], axis: int) -> Quantization:
        return cls(tuple(map(float, scale)), tuple(map(int, zero_point)), axis)


@dataclass(frozen=True)
class TensorType:
    """Shape, element type and, for integers that stand for reals, quantisation.

    `shape` is None when not even the rank is known, which only an open or dynamic graph may have.
    """

    shape: tuple[Dim, ...] | None
    dtype: DType = DType.F32
    quantization: Quantization | None = None
    is_static: bool = field(init=False, repr=False, compare=False)
    """Whether every dimension is a known size."""

    def __post_init__(self) -> None:
        if self.shape is not None and type(self.shape) is not tuple:
            object.__setattr__(self, "shape", tuple(self.shape))
        static = self.shape is not None
        for dim in self.shape or ():
            if not isinstance(dim, int):
                static = False
            elif dim < 0:
                raise ValueError(f"negative dimension {dim} in shape {self.shape}")
        object.__setattr__(self, "is_static", static)

    @classmethod
    def of(cls, array: ArrayLike) -> TensorType:
        """The type of a NumPy array."""
        array = np.asarray(array)
        return cls(tuple(array.shape), DType.of(array.dtype))

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def static_shape(self) -> tuple[int, ...]:
        """The shape as integers; raises ValueError when a dimension is open."""
        if not self.is_static:
            raise ValueError(f"{self} has open dimensions")
        return self.shape  # type: ignore[return-value]  # all of them are sizes

    @property
    def size(self) -> int:
        """Number of elements; raises ValueError when a dimension is open."""
        return prod(self.static_shape)

    @property
    def bytes(self) -> int:
        """Size of the tensor in bytes; raises ValueError when a dimension is open."""
        return self.size * self.dtype.bytes

    def with_shape(self, shape: Iterable[Dim] | None) -> TensorType:
        return replace(self, shape=None if shape is None else tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        return replace(self, dtype=dtype, quantization=None)

    def substitute(self, sizes: Mapping[str, int]) -> TensorType:
        """The type with symbolic dimensions replaced by their sizes."""
        if self.shape is None:
            return self
        return self.with_shape(sizes.get(d, d) if isinstance(d, str) else d for d in self.shape)

    def accepts(self, other: TensorType) -> bool:
        """Whether a value of type `other` may stand where this type is declared; unknown dimensions match anything."""
        if self.dtype != other.dtype:
            return False
        if self.shape is None or other.shape is None:
            return True
        return len(self.shape) == len(other.shape) and all(
            a == b or not isinstance(a, int) or not isinstance(b, int)
            for a, b in zip(self.shape, other.shape, strict=True)
        )

    def __str__(self) -> str:
        from nascompiler.ir.text.syntax import format_type

        return format_type(self)


def join_types(known: TensorType, other: TensorType) -> TensorType | None:
    """What two types of one value say together, dimension by dimension; None when they contradict each other."""
    if not known.accepts(other):
        return None
    quantization = known.quantization or other.quantization
    if known.shape is None or other.shape is None:
        return replace(known, shape=other.shape if known.shape is None else known.shape, quantization=quantization)
    shape = tuple(join_dims(a, b) for a, b in zip(known.shape, other.shape, strict=True))
    return replace(known, shape=shape, quantization=quantization)


def join_dims(a: Dim, b: Dim) -> Dim:
    """The more precise of two dimensions known to be equal: a size before a name before nothing."""
    if isinstance(a, int) or b is None:
        return a
    return b if isinstance(b, int) or a is None else a
