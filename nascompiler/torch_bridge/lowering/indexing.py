"""Selecting elements by position, padding, and resizing by selecting and mixing neighbours."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from nascompiler.ir.dialects.nn.resize import nearest, source_coordinates
from nascompiler.torch_bridge.lowering.registry import Family

FAMILY = Family()
Ints = tuple[int, ...]


def _select(x: Tensor, axis: int, indices: object) -> Tensor:
    return x.index_select(axis, torch.as_tensor(indices, device=x.device))


@FAMILY.op("slice")
def cut(x: Tensor, *, axes: Ints, starts: Ints, ends: Ints, steps: Ints) -> Tensor:
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        taken = range(x.shape[axis])[start:end:step]
        if step < 0:
            x = _select(x, axis, np.asarray(taken, np.int64))
        else:
            cuts = [slice(None)] * x.ndim
            cuts[axis] = slice(taken.start, taken.stop, taken.step)
            x = x[tuple(cuts)]
    return x


@FAMILY.op("gather")
def gather(x: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    along = axis % x.ndim
    flat = indices.reshape(-1)
    taken = x.index_select(along, torch.where(flat < 0, flat + x.shape[along], flat))
    return taken.reshape(x.shape[:along] + indices.shape + x.shape[along + 1 :])


@lru_cache(maxsize=256)
def _mirrored(size: int, before: int, after: int, mode: str) -> Tensor:
    places = np.pad(np.arange(size), (before, after), mode=mode)  # type: ignore[call-overload]
    return torch.from_numpy(places)


@FAMILY.op("pad")
def pad(x: Tensor, *, before: Ints, after: Ints, mode: str, value: float) -> Tensor:
    """Cropping comes first; the modes other than constant select elements of each axis."""
    if mode == "constant":
        widths = [count for axis in reversed(range(x.ndim)) for count in (before[axis], after[axis])]
        return F.pad(x, widths, value=value if x.dtype.is_floating_point else int(value))
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        size = x.shape[axis]
        x = x.narrow(axis, -min(low, 0), size + min(low, 0) + min(high, 0))
        if low > 0 or high > 0:
            x = _select(x, axis, _mirrored(x.shape[axis], max(low, 0), max(high, 0), mode))
    return x


@lru_cache(maxsize=256)
def _positions(length: int, target: int, scale: float, coordinates: str) -> NDArray[np.float32]:
    return source_coordinates(length, target, scale, coordinates)


@FAMILY.op("resize")
def resize(
    x: Tensor, *, size: tuple[int, int], mode: str, coordinates: str, rounding: str, scales: tuple[float, ...]
) -> Tensor:
    """x [N, H, W, C]; the positions are those of the reference, so that every convention of ONNX agrees with it."""
    for axis, target in enumerate(size, start=1):
        length = x.shape[axis]
        scale = scales[axis - 1] if scales else target / length
        if scale == 1 and target == length:
            continue
        position = _positions(length, target, scale, coordinates)
        if mode == "nearest":
            x = _select(x, axis, nearest(position, rounding).clip(0, length - 1))
            continue
        position = position.clip(0, length - 1)
        low = np.floor(position).astype(np.int64)
        fraction = torch.as_tensor(position - low, dtype=x.dtype, device=x.device)
        fraction = fraction.reshape([-1 if i == axis else 1 for i in range(4)])
        x = torch.lerp(_select(x, axis, low), _select(x, axis, np.minimum(low + 1, length - 1)), fraction)
    return x
