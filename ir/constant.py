"""Immutable tensors, named by the hash of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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
        self._make: Callable[[], ArrayLike] | None = None
        if digest is not None:
            self.__dict__["digest"] = digest

    @classmethod
    def of(cls, values: ArrayLike, type: TensorType | None = None) -> Constant:
        """A constant of the values of an array, copied unless nobody can write to it and it is contiguous already."""
        array = np.asarray(values)
        if not (array.flags.c_contiguous and array.dtype.isnative and _is_frozen(array)):
            array = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
            array.flags.writeable = False
        array = array.view()  # a view of a read-only array cannot be made writeable again
        own = TensorType.of(array)
        if type is not None and (type.shape != own.shape or type.dtype != own.dtype):
            raise ModelError(f"constant of type {own} declared as {type}")
        return cls(type or own, array)

    @classmethod
    def lazy(cls, type: TensorType, make: Callable[[], ArrayLike]) -> Constant:
        """A constant whose values are made when first asked for: random weights of networks that are only counted.

        `make` must give the same values of that type whenever it is called; it may not change what they depend on.
        """
        constant = cls.__new__(cls)
        constant.type = type
        constant._array = None
        constant._make = make
        return constant

    @property
    def is_placeholder(self) -> bool:
        return self._array is None and self._make is None

    @property
    def is_pending(self) -> bool:
        """Whether its values have not been made yet; to look at them would take as long as making them does."""
        return self._make is not None

    @property
    def array(self) -> Array:
        """The values, read-only; raises ModelError for a placeholder."""
        if self._make is not None:
            self._array, self._make = Constant.of(self._make(), self.type)._array, None
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
        state.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
        return state.hexdigest()[:32]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.type == other.type and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def _is_frozen(array: Array) -> bool:
    """Whether neither the array nor whatever it is a view of can be written to."""
    base: object = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        if base.base is None:
            return True
        base = base.base
    try:
        return memoryview(base).readonly  # type: ignore[arg-type]  # or it raises
    except TypeError:
        return False
