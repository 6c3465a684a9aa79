"""From TensorProto to NumPy array, trusting nothing: every size is checked before memory is taken."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx

from nascompiler.ir.types import Array, DType
from nascompiler.onnx.errors import OnnxError
from nascompiler.onnx.external_data import ExternalData

DTYPES: dict[int, DType] = {
    onnx.TensorProto.FLOAT16: DType.F16,
    onnx.TensorProto.FLOAT: DType.F32,
    onnx.TensorProto.DOUBLE: DType.F64,
    onnx.TensorProto.INT8: DType.I8,
    onnx.TensorProto.INT16: DType.I16,
    onnx.TensorProto.INT32: DType.I32,
    onnx.TensorProto.INT64: DType.I64,
    onnx.TensorProto.UINT8: DType.U8,
    onnx.TensorProto.UINT16: DType.U16,
    onnx.TensorProto.UINT32: DType.U32,
    onnx.TensorProto.UINT64: DType.U64,
    onnx.TensorProto.BOOL: DType.BOOL,
}
"""ONNX element type -> ours."""

ELEMENT_TYPES = {dtype: number for number, dtype in DTYPES.items()}
"""Our element type -> ONNX's."""

_TYPED_FIELD = {
    DType.F32: "float_data",
    DType.F64: "double_data",
    DType.I64: "int64_data",
    DType.U32: "uint64_data",
    DType.U64: "uint64_data",
}
MAXIMUM_RANK = 32
MAXIMUM_ELEMENTS = 1 << 36
"""No tensor of a network we can compile is larger; beyond it sizes are taken for damage or malice."""

MAXIMUM_MADE = 1 << 20
"""Constants that a converter makes by itself (zero states, indices) stay below this many elements."""


def element_type_name(number: int) -> str:
    """`FLOAT`, `BFLOAT16`, ... or the number itself when it is none of ONNX's."""
    names: dict[int, str] = {value: name for name, value in onnx.TensorProto.DataType.items()}
    return names.get(number, str(number))


def dtype_of(number: int) -> DType:
    """Our element type for ONNX's; raises OnnxError for one that the IR lacks."""
    if number not in DTYPES:
        raise OnnxError(f"element type {element_type_name(number)} is not supported; accepted: {_accepted()}")
    return DTYPES[number]


def _accepted() -> str:
    return ", ".join(map(element_type_name, DTYPES))


def check_shape(what: str, shape: tuple[int, ...]) -> int:
    """The number of elements of a shape; raises OnnxError for negative or absurd dimensions."""
    if len(shape) > MAXIMUM_RANK:
        raise OnnxError(f"{what} has {len(shape)} dimensions; at most {MAXIMUM_RANK} are accepted")
    if any(d < 0 for d in shape):
        raise OnnxError(f"{what} has a negative dimension: {list(shape)}")
    if prod(max(d, 1) for d in shape) > MAXIMUM_ELEMENTS:
        raise OnnxError(f"{what} is too large: {list(shape)}; at most {MAXIMUM_ELEMENTS} elements are accepted")
    return prod(shape)


def to_array(tensor: onnx.TensorProto, external: ExternalData) -> Array:
    """The values of a tensor, read-only where they are shared with the file's bytes.

    Raises OnnxError when element type, dims and data do not go together or the data cannot be read.
    """
    what = f"tensor {tensor.name!r}"
    try:
        dtype = dtype_of(tensor.data_type)
    except OnnxError as error:
        raise OnnxError(f"{what}: {error}") from None
    shape = tuple(tensor.dims)
    count = check_shape(what, shape)
    if tensor.HasField("segment"):
        raise OnnxError(f"{what} is stored in segments, which is not supported")
    expected = count * dtype.bytes
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        raw = external.read(what, entries, expected)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    else:
        return _from_typed_field(what, tensor, dtype, count).reshape(shape)
    if len(raw) != expected:
        raise OnnxError(f"{what} holds {len(raw)} bytes; {dtype}{list(shape)} needs {expected}")
    little_endian = dtype.numpy.newbyteorder("<")
    return np.frombuffer(raw, dtype=little_endian).astype(dtype.numpy, copy=False).reshape(shape)


def _from_typed_field(what: str, tensor: onnx.TensorProto, dtype: DType, count: int) -> Array:
    field = _TYPED_FIELD.get(dtype, "int32_data")
    values = getattr(tensor, field)
    if len(values) != count:
        raise OnnxError(f"{what} holds {len(values)} values in {field}; its dims {list(tensor.dims)} need {count}")
    if dtype is DType.F16:
        return np.array(values, np.int32).astype(np.uint16).view(np.float16)
    storage = {"float_data": np.float32, "double_data": np.float64, "int64_data": np.int64, "uint64_data": np.uint64}
    stored = np.array(values, storage.get(field, np.int32))
    if dtype.is_integer and stored.size:
        limits = np.iinfo(str(dtype.numpy))
        if int(stored.min()) < limits.min or int(stored.max()) > limits.max:
            raise OnnxError(f"{what} holds values outside {dtype}")
    return stored.astype(dtype.numpy)
