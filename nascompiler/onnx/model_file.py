"""Reading the bytes of a model: a protobuf message that really is an ONNX model, of a version we know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from nascompiler.onnx.errors import OnnxError
from nascompiler.onnx.external_data import ExternalData

OLDEST_OPSET = 7
NEWEST_OPSET = 28
"""The converters were written against the operators up to this version; a newer one may mean something else."""
MAXIMUM_BYTES = 2**31 - 1
"""Protobuf's own limit for one message."""


@dataclass(frozen=True)
class Model:
    """A parsed model: its message, the opset of the default domain, and where its external tensors are read from."""

    label: str
    proto: onnx.ModelProto
    opset: int
    external: ExternalData


def read_model(source: str | Path | bytes) -> Model:
    """Parse a file or its bytes.

    Raises OnnxError when it cannot be read, is no ONNX model, or of an opset before 7 or after the newest we know.
    """
    if isinstance(source, bytes):
        label, data, folder = "<bytes>", source, None
    else:
        path = Path(source)
        label, data, folder = str(path), _read(path), path.parent
    if not data:
        raise OnnxError(f"{label}: the file is empty; an ONNX model is expected")
    try:
        proto = onnx.ModelProto.FromString(data)
    except (DecodeError, UnicodeDecodeError, ValueError, MemoryError, RecursionError) as error:
        raise OnnxError(f"{label}: this is not an ONNX model, or it is damaged: {error}") from None
    if not proto.HasField("graph") or not proto.opset_import or not proto.graph.output:
        raise OnnxError(f"{label}: this is not an ONNX model, or it is damaged: it has no graph, opset or outputs")
    _check_texts(label, proto)
    return Model(label, proto, _opset(label, proto), ExternalData(folder))


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise OnnxError(f"{path}: this is a folder; an ONNX file is expected")
        if path.stat().st_size > MAXIMUM_BYTES:
            raise OnnxError(f"{path}: larger than 2 GiB, which no ONNX file is (weights then lie in external files)")
        return path.read_bytes()
    except OSError as error:
        raise OnnxError(f"{path}: cannot be read: {error.strerror}") from None


def _check_texts(label: str, proto: onnx.ModelProto) -> None:
    """Names must be text; protobuf hands out bytes where a file has something else."""
    graph = proto.graph
    infos = (*graph.input, *graph.output, *graph.value_info)
    texts = [graph.name, *(entry.domain for entry in proto.opset_import), *(info.name for info in infos)]
    texts += [dim.dim_param for info in infos for dim in info.type.tensor_type.shape.dim]
    texts += [name for node in graph.node for name in (node.name, node.op_type, node.domain, *node.input, *node.output)]
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    texts += [text for attribute in attributes for text in (attribute.name, attribute.ref_attr_name)]
    sparse = [tensor.values for tensor in graph.sparse_initializer]
    tensors = (*graph.initializer, *sparse, *(attribute.t for attribute in attributes))
    texts += [tensor.name for tensor in tensors]
    texts += [text for tensor in tensors for entry in tensor.external_data for text in (entry.key, entry.value)]
    if any(not isinstance(text, str) for text in texts):
        raise OnnxError(f"{label}: this is not an ONNX model, or it is damaged: a name in it is not UTF-8 text")


def _opset(label: str, proto: onnx.ModelProto) -> int:
    versions = {entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")}
    if len(versions) > 1:
        raise OnnxError(f"{label}: two versions of the default opset: {sorted(versions)}")
    version = versions.pop() if versions else NEWEST_OPSET  # every node is then of a domain that is refused by name
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise OnnxError(f"{label}: opset {version} is not supported; accepted: {OLDEST_OPSET} to {NEWEST_OPSET}")
    return version
