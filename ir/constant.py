"""Immutable tensors, named by the hash of their content."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from nascompiler.ir.errors import ModelError
from nascompiler.ir.types import Array, TensorType


class Constant:
    """A tensor that never changes, shared freely between graphs.

    Parsing IR text without its store gives placeholders: type and hash are known, `array` raises ModelError.
    """

    def __init__(self, type: TensorType, array: Array | None = None, digest: str | None = None) -> None:
        if (array is None) == (digest is None):
            raise ValueError("a constant has either its array or, as a placeholder, its digest")
        self.type = type
        self._array = array
        if digest is not None:
            self.__dict__["digest"] = digest

    @classmethod
    def of(cls, values: ArrayLike, type: TensorType | None = None) -> Constant:
        """A constant of the values of an array, copied unless it is read-only and contiguous already."""
        array = np.asarray(values)
        if array.flags.writeable or not array.flags.c_contiguous:
            array = array.copy(order="C")
            array.flags.writeable = False
        own = TensorType.of(array)
        if type is not None and (type.shape != own.shape or type.dtype != own.dtype):
            raise ModelError(f"constant of type {own} declared as {type}")
        return cls(type or own, array)

    @property
    def is_placeholder(self) -> bool:
        return self._array is None

    @property
    def array(self) -> Array:
        """The values, read-only; raises ModelError for a placeholder."""
        if self._array is None:
            raise ModelError(
                f"the values of constant {self.digest} ({self.type}) are not loaded: give the weights file"
            )
        return self._array

    @cached_property
    def digest(self) -> str:
        """The first 128 bits of the SHA-256 of element type, shape and little-endian content, in hexadecimal."""
        array = self.array
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        state = hashlib.sha256(f"{self.type.dtype}{list(array.shape)}".encode())
        state.update(memoryview(array.reshape(-1)).cast("B") if array.size else b"")
        return state.hexdigest()[:32]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.type == other.type and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)
