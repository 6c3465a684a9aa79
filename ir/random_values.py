"""Random tensors for checks and benchmarks."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.types import Array, TensorType


def random_array(type: TensorType, generator: np.random.Generator, spread: float = 1.0) -> Array:
    """Normal values with standard deviation `spread`; ValueError while a size is open.

    Integers of 8 and 16 bits, which stand for numbers, come from their whole range; others, which count, from 0 to 3.
    """
    if type.dtype.is_float:
        return (generator.standard_normal(type.static_shape) * spread).astype(type.dtype.numpy)
    if type.dtype.is_integer and type.dtype.bytes <= 2:
        limits = np.iinfo(type.dtype.numpy.name)
        return generator.integers(int(limits.min), int(limits.max) + 1, type.static_shape).astype(type.dtype.numpy)
    return generator.integers(0, 4, type.static_shape).astype(type.dtype.numpy)
