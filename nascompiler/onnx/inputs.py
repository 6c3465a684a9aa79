"""The graph's inputs: declared types, and the shapes that the user gives for open dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index

import onnx

from nascompiler.ir.errors import UsageError, unknown
from nascompiler.ir.types import Dim, TensorType
from nascompiler.onnx.errors import OnnxError, UnsupportedNode
from nascompiler.onnx.tensors import MAXIMUM_RANK, check_shape, dtype_of


def declared_type(info: onnx.ValueInfoProto) -> TensorType:
    """The type that a model declares for a value, layout as in the model.

    A named dimension keeps its name; one named `?` and one of size -1 are unknown. Raises OnnxError when the value is
    no tensor, or of an element type or size that is not supported.
    """
    if info.type.WhichOneof("value") != "tensor_type":
        kind = (info.type.WhichOneof("value") or "untyped value").removesuffix("_type")
        raise OnnxError(f"{info.name!r} is a {kind}; only tensors are supported")
    tensor = info.type.tensor_type
    try:
        dtype = dtype_of(tensor.elem_type)
    except OnnxError as error:
        raise OnnxError(f"{info.name!r}: {error}") from None
    if not tensor.HasField("shape"):
        return TensorType(None, dtype)
    if len(tensor.shape.dim) > MAXIMUM_RANK:
        raise OnnxError(f"{info.name!r} has {len(tensor.shape.dim)} dimensions; at most {MAXIMUM_RANK} are accepted")
    shape = tuple(map(_dim, tensor.shape.dim))
    check_shape(repr(info.name), tuple(d for d in shape if isinstance(d, int)))
    return TensorType(shape, dtype)


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return None if dim.dim_value == -1 else dim.dim_value  # -1 is PaddlePaddle's way to say unknown
    return dim.dim_param if any(map(str.isalnum, dim.dim_param)) else None  # PaddlePaddle: "?" is no name either


def input_types(
    graph: onnx.GraphProto, shapes: Mapping[str, Sequence[int]] | None
) -> tuple[dict[str, TensorType], list[UnsupportedNode]]:
    """The types of the inputs that are no initializers, in order, with the user's `shapes` in place.

    A size given for a named dimension holds in every input that has it. Also returns the inputs whose type is not
    supported. Raises UsageError for a shape that does not fit what is declared.
    """
    initializers = {t.name for t in graph.initializer}
    types: dict[str, TensorType] = {}
    faults = []
    for info in graph.input:
        if info.name in initializers:
            continue
        try:
            types[info.name] = declared_type(info)
        except OnnxError as error:
            faults.append(UnsupportedNode(info.name, "input", str(error)))
    sizes: dict[str, int] = {}
    given = {name: tuple(map(index, shape)) for name, shape in (shapes or {}).items()}
    for name, shape in given.items():
        if name in types:
            _unify(name, types[name], shape, sizes)
        elif all(name != fault.name for fault in faults):
            raise unknown("input", name, types)
    substituted = {
        name: type.with_shape(given[name]) if name in given else type.substitute(sizes) for name, type in types.items()
    }
    return substituted, faults


def _unify(name: str, declared: TensorType, given: tuple[int, ...], sizes: dict[str, int]) -> None:
    """Check a given shape against the declared type and note the sizes of its named dimensions."""
    words = f"shape {'x'.join(map(str, given))} given for input {name!r}, which is declared {declared}"
    if any(d < 0 for d in given):
        raise UsageError(f"{words}: sizes must not be negative")
    try:
        check_shape(f"input {name!r}", given)
    except OnnxError as error:
        raise UsageError(f"{words}: {error}") from None
    if declared.shape is None:
        return
    if len(given) != len(declared.shape):
        raise UsageError(f"{words}: it needs {len(declared.shape)} dimensions")
    for place, (expected, size) in enumerate(zip(declared.shape, given, strict=True)):
        if isinstance(expected, int) and expected != size:
            raise UsageError(f"{words}: dimension {place} must be {expected}")
        if isinstance(expected, str) and sizes.setdefault(expected, size) != size:
            raise UsageError(f"{words}: dimension {place} ({expected}) is {sizes[expected]} elsewhere")
