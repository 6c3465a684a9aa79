"""Resizing of images by nearest neighbour or linear interpolation, in all coordinate conventions of ONNX Resize."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.attributes import AttributeDef, Kind, integers, string
from nascompiler.ir.dialects.nn.inference import dims, like, moved, shape_text
from nascompiler.ir.dialects.nn.windows import Pair
from nascompiler.ir.ops import InferenceError, OpDef, numbers, register_op
from nascompiler.ir.types import Array, TensorType

COORDINATES = (
    "half_pixel",
    "align_corners",
    "asymmetric",
    "pytorch_half_pixel",
    "half_pixel_symmetric",
    "tf_half_pixel_for_nn",
)
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
RESIZE_ATTRIBUTES = (
    string("mode", "nearest", among=("nearest", "linear")),
    string("coordinates", "half_pixel", among=COORDINATES),
    string("rounding", "round_prefer_floor", among=ROUNDINGS),
)


def _is_scales(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) in (0, 2) and all(isinstance(v, float) and v > 0 for v in value)


_SCALES = AttributeDef("scales", Kind("an empty list or 2 floats > 0, for height and width", _is_scales), ())


def scaled_size(size: int, scale: float) -> int:
    """What a dimension becomes under a scale of ONNX Resize: the product is rounded to float32, then down."""
    return int(np.floor(np.float32(size) * np.float32(scale)))


def source_coordinates(length: int, target: int, scale: float, coordinates: str) -> NDArray[np.float32]:
    """Where the centre of each of `target` result elements lies among `length` elements (ONNX Resize-19).

    In float32 and in the order of operations of onnxruntime: positions that fall between two elements, or on one, are
    then the same ones, even under scales such as 4/3 that float32 does not hold.
    """
    index = np.arange(target, dtype=np.float32)
    half, factor = np.float32(0.5), np.float32(scale)
    if coordinates == "asymmetric":
        return index / factor
    if coordinates == "tf_half_pixel_for_nn":
        return (index + half) / factor
    if coordinates == "align_corners":
        return index * np.float32(length - 1) / np.float32(max(target - 1, 1))
    if coordinates == "pytorch_half_pixel" and target == 1:
        return np.zeros(1, np.float32)
    if coordinates == "half_pixel_symmetric":  # onnxruntime goes by way of float64 here
        offset = np.float32(length / 2) * (1 - np.float32(target) / (factor * np.float32(length)))
        wide = (index.astype(np.float64) + 0.5) / np.float64(factor)
        return (np.float64(offset) + wide - 0.5).astype(np.float32)
    return (index + half) / factor - half


def nearest(position: NDArray[np.float32], rounding: str) -> NDArray[np.int64]:
    """The element that each position rounds to, not yet clamped."""
    exact = position.astype(np.float64)  # adding a half must not round
    if rounding == "round_prefer_floor":
        rounded = np.ceil(exact - 0.5)
    elif rounding == "round_prefer_ceil":
        rounded = np.floor(exact + 0.5)
    else:
        rounded = np.floor(exact) if rounding == "floor" else np.ceil(exact)
    return rounded.astype(np.int64)


def neighbours(
    length: int, target: int, scale: float | None, coordinates: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Of each of `target` elements: both neighbours among `length`, and the share of the second, which float32 holds.

    `scale` is None where the model gives a size alone. A dimension that does not change is copied.
    """
    factor = target / length if scale is None else scale
    if factor == 1 and target == length:
        index = np.arange(length, dtype=np.int64)
        return index, index, np.zeros(length)
    position = source_coordinates(length, target, factor, coordinates).clip(0, length - 1)
    low = np.floor(position).astype(np.int64)
    return low, np.minimum(low + 1, length - 1), position.astype(np.float64) - low


def nearest_elements(
    length: int, target: int, scale: float | None, coordinates: str, rounding: str
) -> NDArray[np.int64]:
    """Of each of `target` elements: the one of `length` that it is a copy of."""
    factor = target / length if scale is None else scale
    if factor == 1 and target == length:
        return np.arange(length, dtype=np.int64)
    return nearest(source_coordinates(length, target, factor, coordinates), rounding).clip(0, length - 1)


def _infer(
    x: TensorType, *, size: Pair, mode: str, coordinates: str, rounding: str, scales: tuple[float, ...]
) -> TensorType:
    batch, height, width, channels = dims(x)
    if 0 in (height, width):
        raise InferenceError(f"x {shape_text(dims(x))} has no pixels to resize to {list(size)}")
    if mode == "linear" and not x.dtype.is_float:
        raise InferenceError(f"x is {x.dtype}; mode linear accepts f16, f32 or f64, mode nearest any number")
    return moved(x, (batch, *size, channels))


def _resize(x: Array, *, size: Pair, mode: str, coordinates: str, rounding: str, scales: tuple[float, ...]) -> Array:
    result = x
    for axis, target in enumerate(size, start=1):
        length = x.shape[axis]
        scale = scales[axis - 1] if scales else None
        if mode == "nearest":
            result = result.take(nearest_elements(length, target, scale, coordinates, rounding), axis)
            continue
        low, high, share = neighbours(length, target, scale, coordinates)
        if np.array_equal(low, np.arange(length)) and not share.any():
            continue
        fraction = np.expand_dims(share, [other for other in range(x.ndim) if other != axis])
        result = np.multiply(result.take(low, axis), 1 - fraction) + np.multiply(result.take(high, axis), fraction)
    return like(result, x)


register_op(
    OpDef(
        name="nn.resize",
        summary=(
            "x [N, H, W, C] resized to `size` (height, width). `coordinates` says where result elements lie in x, "
            "`rounding` which neighbour `mode` nearest takes. `scales` are the model's own where it gave scales, not a "
            "size: the coordinates then use them (ONNX Resize-19). A dimension that does not change is copied."
        ),
        operands=(numbers("x", rank=4),),
        attributes=(integers("size", length=2, minimum=1), *RESIZE_ATTRIBUTES, _SCALES),
        infer=_infer,
        evaluate=_resize,
    )
)
