"""Shapes as values, and the ops whose sizes are operands; what they need is read from the tensors at each call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nascompiler.ir.ops import OPS, OpDef, Trait
from nascompiler.ir.types import DType, TensorType
from nascompiler.torch_bridge.dtypes import ir_dtype, torch_dtype
from nascompiler.torch_bridge.lowering.registry import Family, Function, Lowering

FAMILY = Family()


@FAMILY.op("shape")
def shape(x: Tensor, *, start: int, end: int) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64, device=x.device)


@FAMILY.op("constant_of_shape")
def constant_of_shape(shape: Tensor, *, value: float, dtype: DType) -> Tensor:
    return torch.full(shape.tolist(), value, dtype=torch_dtype(dtype), device=shape.device)


@FAMILY.op("range")
def count(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    return torch.arange(start.item(), limit.item(), delta.item(), dtype=start.dtype, device=start.device)


def dynamic(op: OpDef, static: Function) -> Lowering:
    """The lowering of an op with Trait.DYNAMIC, given the function of its static form."""

    def function(x: Tensor, *operands: Tensor | None, **attributes: Any) -> Any:
        arrays = [None, *(None if t is None else t.detach().cpu().numpy() for t in operands)]
        types = [TensorType(tuple(x.shape), ir_dtype(x.dtype) or DType.F32)]
        found = op.static_attributes(
            [*types, *(None if a is None else TensorType.of(a) for a in arrays[1:])], arrays, attributes
        )
        assert found is not None
        return static(x, **found)

    return Lowering(function)


def dynamic_lowerings(static: dict[str, Lowering]) -> dict[str, Lowering]:
    """Those of the dialect's dynamic ops, by full name."""
    found = {}
    for name, op in OPS.items():
        if name.startswith("nn.") and op.has(Trait.DYNAMIC) and op.static_form is not None:
            found[name] = dynamic(op, static[op.static_form[0]].function)
    return found
