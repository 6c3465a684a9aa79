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


_PROVIDERS: dict[str, list[Any]] = {}
"""What has been registered by name, the latest last: an artifact may be loaded more than once."""


def provide(symbol: str, inputs: int, simulate: Simulate) -> Any:
    """Register what programs of this process call for a region with so many inputs; gives what `withdraw` takes."""

    def call(*tensors: Any) -> None:
        arrays = [np.from_dlpack(tensor) for tensor in tensors]
        given, results = arrays[:inputs], arrays[inputs:]
        for place, made in zip(results, simulate(given), strict=True):
            np.copyto(place, np.asarray(made).reshape(place.shape))

    _PROVIDERS.setdefault(symbol, []).append(call)
    tvm_ffi.register_global_func(PREFIX + symbol, call, override=True)
    return call


def withdraw(symbol: str, provided: Any) -> None:
    """Forget what was registered for a region, once; what was registered before it serves again."""
    providers = _PROVIDERS[symbol]
    providers.remove(provided)
    if providers:
        tvm_ffi.register_global_func(PREFIX + symbol, providers[-1], override=True)
    else:
        tvm_ffi.registry.remove_global_func(PREFIX + symbol)
