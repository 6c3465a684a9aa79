"""Rewrites an exported ONNX model into the forms that every runtime has its fast path for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def use_fast_forms(model: onnx.ModelProto) -> None:
    """In place: zero padding moves into the convolution behind it, pooling with `ceil_mode` gets explicit padding, and
    a mean over height and width becomes a global average pooling. Constants that nobody reads any more are dropped."""
    constants = _constants(model.graph)
    _move_padding(model.graph, constants)
    for node in model.graph.node:
        if node.op_type in ("MaxPool", "AveragePool") and _attribute(node, "ceil_mode", 0):
            _set(node, ceil_mode=None, pads=[0, 0, 1, 1])
        if node.op_type == "ReduceMean" and _is_over_the_plane(node, constants):
            node.op_type = "GlobalAveragePool"
            del node.input[1:], node.attribute[:]
    read = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _constants(graph: onnx.GraphProto) -> dict[str, NDArray[Any]]:
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = numpy_helper.to_array(helper.get_node_attr_value(node, "value"))
    return values


def _move_padding(graph: onnx.GraphProto, constants: dict[str, NDArray[Any]]) -> None:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        # per axis of NCHW, first all that comes before, then all that comes after
        sizes = constants[pad.input[1]]
        convolutions = readers[pad.output[0]]
        if len(sizes) != 8 or any(node.op_type != "Conv" for node in convolutions):
            continue
        for convolution in convolutions:
            own = np.asarray(_attribute(convolution, "pads", [0, 0, 0, 0]))
            _set(convolution, auto_pad=None, pads=[int(size) for size in own + sizes[[2, 3, 6, 7]]])
            convolution.input[0] = pad.input[0]
        graph.node.remove(pad)


def _is_over_the_plane(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> bool:
    axes = sorted(int(axis) % 4 for axis in constants[node.input[1]])
    return axes == [2, 3] and bool(_attribute(node, "keepdims", 1))


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _set(node: onnx.NodeProto, **values: Any) -> None:
    """Give attributes new values; None removes one."""
    kept = [attribute for attribute in node.attribute if attribute.name not in values]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items() if value is not None)
