"""Reductions along axes."""

from __future__ import annotations

import torch
from torch import Tensor

from nascompiler.torch_bridge.lowering.registry import Family, Function

FAMILY = Family()
Axes = tuple[int, ...]


def _reduction(name: str, reduce: Function) -> None:
    def function(x: Tensor, *, axes: Axes, keepdims: bool) -> Tensor:
        result: Tensor = reduce(x, axes, keepdims) if axes else x
        return result

    FAMILY.op(f"reduce_{name}")(function)


def _sum(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
    return x.sum(axes, keepdim=keepdims, dtype=x.dtype)


def _mean(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
    """Of integers truncated toward zero."""
    if x.dtype.is_floating_point:
        return x.mean(axes, keepdim=keepdims)
    return x.double().mean(axes, keepdim=keepdims).to(x.dtype)


def _prod(x: Tensor, axes: Axes, keepdims: bool) -> Tensor:
    """One axis at a time, the last first so that the others keep their numbers."""
    for axis in sorted((a % x.ndim for a in axes), reverse=True):
        x = x.prod(axis, keepdim=keepdims, dtype=x.dtype)
    return x


_reduction("sum", _sum)
_reduction("mean", _mean)
_reduction("prod", _prod)
_reduction("max", lambda x, axes, keepdims: x.amax(axes, keepdim=keepdims))
_reduction("min", lambda x, axes, keepdims: x.amin(axes, keepdim=keepdims))


def _argument(name: str, choose: Function) -> None:
    def function(x: Tensor, *, axis: int, keepdims: bool, select_last: bool) -> Tensor:
        if not select_last:
            first: Tensor = choose(x, axis, keepdims)
            return first
        last: Tensor = x.shape[axis] - 1 - choose(x.flip(axis), axis, keepdims)
        return last

    FAMILY.op(name)(function)


_argument("argmax", torch.argmax)
_argument("argmin", torch.argmin)
