"""Arithmetic, comparisons and logic on corresponding elements."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nascompiler.ir.types import DType
from nascompiler.torch_bridge.dtypes import torch_dtype
from nascompiler.torch_bridge.lowering.activations import activate
from nascompiler.torch_bridge.lowering.registry import Family, Function, Layout, Lowering

FAMILY = Family()
_follow = Layout.FOLLOW

_PLAIN: dict[str, Function] = {
    "sub": torch.sub,
    "mul": torch.mul,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
    "neg": torch.neg,
    "abs": torch.abs,
    "sign": torch.sign,
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "log": torch.log,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "erf": torch.erf,
    "reciprocal": torch.reciprocal,
    "equal": torch.eq,
    "less": torch.lt,
    "greater": torch.gt,
    "less_equal": torch.le,
    "greater_equal": torch.ge,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "logical_not": torch.logical_not,
    "where": torch.where,
}
FAMILY.lowerings.update({name: Lowering(function, _follow) for name, function in _PLAIN.items()})


@FAMILY.op("add", layout=_follow)
def add(a: Tensor, b: Tensor, *, activation: str) -> Tensor:
    return activate(torch.add(a, b), activation)


@FAMILY.op("div", layout=_follow)
def div(a: Tensor, b: Tensor) -> Tensor:
    """Integers truncate toward zero."""
    return torch.div(a, b, rounding_mode=None if a.dtype.is_floating_point else "trunc")


@FAMILY.op("mod", layout=_follow)
def mod(a: Tensor, b: Tensor, *, fmod: bool) -> Tensor:
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@FAMILY.op("pow", layout=_follow)
def power(a: Tensor, b: Tensor) -> Tensor:
    """Of integers, negative exponents give the reciprocal truncated toward zero."""
    if a.dtype.is_floating_point:
        return torch.pow(a, b)
    reciprocal = torch.trunc(torch.pow(a.double(), b.clamp(max=0).double())).to(a.dtype)
    return torch.where(b < 0, reciprocal, torch.pow(a, b.clamp(min=0)))


@FAMILY.op("prelu", layout=_follow)
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * slope)


@FAMILY.op("cast", layout=_follow)
def cast(x: Tensor, *, to: DType) -> Tensor:
    return x.to(torch_dtype(to))


@FAMILY.op("identity", layout=_follow)
def identity(x: Tensor, **attributes: Any) -> Tensor:
    return x
