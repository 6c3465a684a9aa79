"""Random generators and arrays as plain data, so that a controller restored from JSON goes on to the last bit."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    return dict(generator.bit_generator.state)


def restored_generator(state: dict[str, Any]) -> np.random.Generator:
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = state
    return generator


def array_state(array: NDArray[np.float64]) -> dict[str, Any]:
    packed = np.ascontiguousarray(array, "<f8").tobytes()
    return {"shape": list(array.shape), "float64": base64.b64encode(packed).decode("ascii")}


def restored_array(state: dict[str, Any]) -> NDArray[np.float64]:
    flat = np.frombuffer(base64.b64decode(state["float64"]), "<f8")
    return flat.reshape(state["shape"]).astype(np.float64)
