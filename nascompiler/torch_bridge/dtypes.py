"""Element types of the IR and of torch."""

from __future__ import annotations

import torch

from nascompiler.ir.types import DType

_TORCH = {
    DType.F16: torch.float16,
    DType.F32: torch.float32,
    DType.F64: torch.float64,
    DType.I8: torch.int8,
    DType.I16: torch.int16,
    DType.I32: torch.int32,
    DType.I64: torch.int64,
    DType.U8: torch.uint8,
    DType.U16: torch.uint16,
    DType.U32: torch.uint32,
    DType.U64: torch.uint64,
    DType.BOOL: torch.bool,
}
_OURS = {theirs: ours for ours, theirs in _TORCH.items()}


def torch_dtype(dtype: DType) -> torch.dtype:
    """The element type of torch."""
    return _TORCH[dtype]


def ir_dtype(dtype: torch.dtype) -> DType | None:
    """The element type of the IR, None where it has none (bfloat16, complex and quantised types)."""
    return _OURS.get(dtype)
