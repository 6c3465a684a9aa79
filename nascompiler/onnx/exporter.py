"""From a graph of the nn and qnn dialects to an ONNX file."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import onnx
from onnx import helper

from nascompiler.ir.errors import UsageError, unknown
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.types import TensorType
from nascompiler.onnx.contributed import DOMAIN
from nascompiler.onnx.emission import OPSET, OPSET_OF_16_BITS, Emitter
from nascompiler.onnx.emitters.table import EMITTERS
from nascompiler.onnx.errors import OnnxError, Refusal, UnsupportedNode, UnsupportedNodesError
from nascompiler.onnx.model_file import MAXIMUM_BYTES
from nascompiler.onnx.tensors import ELEMENT_TYPES
from nascompiler.onnx.writing_out import write_out
from nascompiler.onnx.writing_out_quantization import FORMATS, write_out_quantization

IR_VERSIONS = {OPSET: 9, OPSET_OF_16_BITS: 10}


def export_onnx(graph: Graph, *, format: str = "qdq") -> onnx.ModelProto:
    """The graph as an ONNX model of opset 19 (21 where it quantises to 16 bits), weights inside.

    Inputs and outputs keep names, element types and layouts. Inside, image ops are NCHW; transposes appear only where
    the layout really changes. The graph itself is not changed. `format` says how qnn ops are written: "qdq" as float
    operators between DequantizeLinear and QuantizeLinear, "qoperator" as operators on integers, some of them of
    com.microsoft.

    Raises:
        UsageError: an unknown format.
        UnsupportedNodesError: ops without an ONNX form, all of them.
        OnnxError: open choices, or more than the 2 GiB that a file can hold.
    """
    if graph.choices or graph.cells:
        raise OnnxError(f"{graph.name}: the graph has open choices or cells: decide and expand them before the export")
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    graph = graph.clone()
    write_out_quantization(graph, FORMATS[format])
    write_out(graph)
    emitter = Emitter({*(v.name for v in graph.inputs), *graph.output_names})
    for value in graph.inputs:
        emitter.set_plain(value, value.name)
    faults = []
    for node in graph.nodes:
        try:
            _emit(emitter, node)
        except Refusal as refusal:
            faults.append(UnsupportedNode(_label(node), node.op.name, str(refusal)))
            for value in node.results:
                emitter.set_plain(value, "refused")
    if faults:
        raise UnsupportedNodesError(graph.name, faults, verb="export")
    model = _model(graph, emitter)
    if model.ByteSize() > MAXIMUM_BYTES:
        raise OnnxError(f"{graph.name}: {model.ByteSize()} bytes; an ONNX file holds at most 2 GiB")
    return model


def save_onnx(graph: Graph, path: str | Path, *, format: str = "qdq") -> None:
    """Write `export_onnx(graph, format=format)` to a file, which appears whole or not at all.

    Raises UsageError when `path` is a folder, a link or anything else but a regular file with one name, or its folder
    does not exist; what `export_onnx` raises; OnnxError when it cannot be written.
    """
    path = Path(path)
    _check_target(path)
    data = export_onnx(graph, format=format).SerializeToString()
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OnnxError(f"{path}: cannot be written: {error.strerror}") from None


def _check_target(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist")
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{path}: there is a folder of this name")
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise UsageError(f"{path}: a link, or no regular file: it is not written through")


def _emit(emitter: Emitter, node: Node) -> None:
    emit = EMITTERS.get(node.op.name)
    if emit is None:
        raise Refusal("this op has no ONNX form")
    if any(v.type.rank is None for v in node.operands):
        raise Refusal("the number of dimensions of an operand is not known")
    emit(emitter, node)


def _label(node: Node) -> str:
    return node.results[0].name or node.origin or "node"


def _model(graph: Graph, emitter: Emitter) -> onnx.ModelProto:
    names = {v.name for v in graph.inputs} | set(emitter.initializers)
    renamed: dict[str, str] = {}
    copies = []
    for output, value in zip(graph.output_names, graph.outputs, strict=True):
        made = emitter.plain(value)
        if made in names or made in renamed or made in emitter.initializers:
            copies.append(helper.make_node("Identity", [made], [output], f"Identity_{output}"))
        else:
            renamed[made] = output
    for node in (*emitter.nodes, *copies):
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    body = helper.make_graph(
        [*emitter.nodes, *copies],
        graph.name,
        [_declared(v.name, v.type) for v in graph.inputs],
        [_declared(n, v.type) for n, v in zip(graph.output_names, graph.outputs, strict=True)],
        list(emitter.initializers.values()),
    )
    opsets = [helper.make_opsetid("", emitter.opset)]
    if any(node.domain == DOMAIN for node in emitter.nodes):
        opsets.append(helper.make_opsetid(DOMAIN, 1))
    version = IR_VERSIONS[emitter.opset]
    return helper.make_model(body, producer_name="nascompiler", opset_imports=opsets, ir_version=version)


def _declared(name: str, type: TensorType) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, ELEMENT_TYPES[type.dtype], type.shape)
