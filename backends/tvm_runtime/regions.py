"""Functions that compiled programs call for the regions of a TPU, by the names of the regions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm_ffi

from nascompiler.ir.types import Array

PREFIX = "nascompiler.tpu."
"""How the names of the functions begin in TVM's registry."""

Simulate = Callable[[Sequence[Array]], Sequence[Array]]
"""Results for inputs, in their order."""


def provide(symbol: str, inputs: int, simulate: Simulate) -> None:
    """Register what programs of this process call for a region with so many inputs."""

    def call(*tensors: Any) -> None:
        arrays = [np.from_dlpack(tensor) for tensor in tensors]
        given, results = arrays[:inputs], arrays[inputs:]
        for place, made in zip(results, simulate(given), strict=True):
            np.copyto(place, np.asarray(made).reshape(place.shape))

    tvm_ffi.register_global_func(PREFIX + symbol, call, override=True)


def withdraw(symbol: str) -> None:
    """Forget the function of a region."""
    tvm_ffi.registry.remove_global_func(PREFIX + symbol)
