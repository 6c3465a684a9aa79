"""Random tensors for checks and benchmarks."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.types import Array, TensorType


def random_array(type: TensorType, generator: np.random.Generator, spread: float = 1.0) -> Array:
    """Normal values with standard deviation `spread`, integers from 0 to 3; ValueError while a size is open."""
    if type.dtype.is_float:
        return (generator.standard_normal(type.static_shape) * spread).astype(type.dtype.numpy)
    return generator.integers(0, 4, type.static_shape).astype(type.dtype.numpy)
