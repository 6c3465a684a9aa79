"""Ops on images: NHWC here, NCHW there; weights from HWIO to OIHW."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.graph import Node, Value
from nascompiler.ir.types import DType
from nascompiler.onnx.emission import Emitter
from nascompiler.onnx.emitters.elementwise import clip_bounds
from nascompiler.onnx.emitters.registry import Emit, EmitTable
from nascompiler.onnx.errors import Refusal


def window_attributes(node: Node) -> dict[str, Any]:
    """Strides, padding and dilation of a node as attributes of ONNX.

    A dilation of 1 is left out: ONNX Runtime 1.31 fails on it where it makes a QLinearAveragePool of an AveragePool.
    """
    dilations = None if node["dilation"] == (1, 1) else node["dilation"]
    return {"strides": node["strides"], "pads": node["padding"], "dilations": dilations}


def _conv2d(e: Emitter, node: Node) -> None:
    _convolution(e, node, "Conv", (3, 2, 0, 1))


def _conv2d_transpose(e: Emitter, node: Node) -> None:
    _convolution(e, node, "ConvTranspose", (2, 3, 0, 1), output_padding=node["output_padding"])


def _convolution(e: Emitter, node: Node, operator: str, permutation: tuple[int, ...], **more: Any) -> None:
    x, weight, *bias = node.operands
    name = e.node(
        operator,
        e.first(x),
        e.permuted(weight, permutation),
        *map(e.plain, bias),
        hint=node.result.name,
        kernel_shape=weight.type.static_shape[:2] if weight.type.is_static else None,
        group=node["groups"],
        **window_attributes(node),
        **more,
    )
    e.set_first(node.result, name)


def _max_pool2d(e: Emitter, node: Node) -> None:
    _pool(e, node, "MaxPool")


def _average_pool2d(e: Emitter, node: Node) -> None:
    _pool(e, node, "AveragePool", count_include_pad=int(node["count_include_pad"]))


def _pool(e: Emitter, node: Node, operator: str, **more: Any) -> None:
    x = e.first(node.operands[0])
    e.set_first(
        node.result,
        e.node(operator, x, hint=node.result.name, kernel_shape=node["kernel"], **window_attributes(node), **more),
    )


def _on_image(operator: str, **names: str) -> Emit:
    """An operator on one NCHW image, other operands as they are; `names`: its attributes -> ours."""

    def emit(e: Emitter, node: Node) -> None:
        x, *others = node.operands
        attributes = {theirs: node[ours] for theirs, ours in names.items()}
        name = e.node(operator, e.first(x), *map(e.plain, others), hint=node.result.name, **attributes)
        e.set_first(node.result, name)

    return emit


def _batch_norm(e: Emitter, node: Node) -> None:
    """ONNX wants the channels at axis 1; another axis is brought there and back."""
    x, *parameters = node.operands
    rank = x.type.rank
    if rank is None:
        raise Refusal("the number of dimensions of its operand is not known")
    axis = node["axis"] % rank
    names = [e.plain(p) for p in parameters]
    if rank == 4 and axis == 3:
        result = e.node("BatchNormalization", e.first(x), *names, hint=node.result.name, epsilon=node["epsilon"])
        e.set_first(node.result, result)
        return
    permutation = [axis if i == 1 else 1 if i == axis else i for i in range(rank)]
    moved = e.plain(x) if axis == 1 else e.node("Transpose", e.plain(x), perm=permutation)
    if axis == 0:
        raise Refusal("batch_norm over axis 0")
    result = e.node("BatchNormalization", moved, *names, hint=node.result.name, epsilon=node["epsilon"])
    e.set_plain(node.result, result if axis == 1 else e.node("Transpose", result, perm=permutation))


def _squeeze_excite(e: Emitter, node: Node) -> None:
    """Pool, two 1x1 convolutions, gate, product."""
    x, w1, b1, w2, b2 = node.operands
    image = e.first(x)
    squeezed = e.node("GlobalAveragePool", image)
    inner = e.node("Conv", squeezed, _pointwise(e, w1), e.plain(b1))
    outer = e.node("Conv", _activated(e, node, inner), _pointwise(e, w2), e.plain(b2))
    if node["gate"] == "hard_sigmoid":
        gate = e.node("HardSigmoid", outer, alpha=node["alpha"], beta=node["beta"])
    else:
        gate = e.node("Sigmoid", outer)
    e.set_first(node.result, e.node("Mul", image, gate, hint=node.result.name))


def _activated(e: Emitter, node: Node, name: str) -> str:
    activation = node["activation"]
    if activation == "relu6":
        return e.node("Clip", name, *clip_bounds(e, 0, 6, node.result.type.dtype.numpy))
    if activation == "swish":
        return e.node("Mul", name, e.node("Sigmoid", name))
    return e.node({"relu": "Relu", "hard_swish": "HardSwish"}[activation], name)


def _pointwise(e: Emitter, weight: Value) -> str:
    """A matrix [inputs, outputs] as the weight [outputs, inputs, 1, 1] of a convolution."""
    if weight.array is not None:
        return e.constant(weight.array.T[:, :, None, None], weight.name)
    turned = e.node("Transpose", e.plain(weight), perm=(1, 0))
    return e.node("Unsqueeze", turned, e.constant(np.array([2, 3])))


def _resize(e: Emitter, node: Node) -> None:
    """By scales where the model gave scales, else by size, for all four dimensions.

    Not by `axes`, although opset 18 has it: ONNX Runtime 1.31 forgets it when it moves a transpose over a Resize.
    """
    image = e.first(node.operands[0])
    if node.op.name == "nn.dynamic_resize_scales" or (node.op.name == "nn.resize" and node["scales"]):
        target = [_all_scales(e, node)]
    else:
        target = ["", _all_sizes(e, node, image)]
    name = e.node(
        "Resize",
        *[image, "", *target],
        hint=node.result.name,
        mode=node["mode"],
        coordinate_transformation_mode=node["coordinates"],
        nearest_mode=node["rounding"],
    )
    e.set_first(node.result, name)


def _all_scales(e: Emitter, node: Node) -> str:
    if node.op.name == "nn.resize":
        return e.constant(np.array([1, 1, *node["scales"]], np.float32))
    scales = node.operands[1]
    if scales.array is not None:
        return e.constant(np.array([1, 1, *scales.array.tolist()], np.float32))
    wide = e.plain(scales) if scales.type.dtype is DType.F32 else e.node("Cast", e.plain(scales), to=1)
    return e.node("Concat", e.constant(np.ones(2, np.float32)), wide, axis=0)


def _all_sizes(e: Emitter, node: Node, image: str) -> str:
    if node.op.name == "nn.resize":
        size = e.constant(np.array(node["size"], np.int64))
    else:
        sizes = node.operands[1]
        size = e.plain(sizes) if sizes.type.dtype is DType.I64 else e.node("Cast", e.plain(sizes), to=7)
    shape = node.result.type.shape
    if node.op.name == "nn.resize" and shape is not None and isinstance(shape[0], int) and isinstance(shape[3], int):
        return e.constant(np.array([shape[0], shape[3], *node["size"]], np.int64))
    return e.node("Concat", e.node("Shape", image, start=0, end=2), size, axis=0)


EMITTERS: EmitTable = {
    "nn.conv2d": _conv2d,
    "nn.conv2d_transpose": _conv2d_transpose,
    "nn.max_pool2d": _max_pool2d,
    "nn.average_pool2d": _average_pool2d,
    "nn.global_average_pool": _on_image("GlobalAveragePool"),
    "nn.global_max_pool": _on_image("GlobalMaxPool"),
    "nn.instance_norm": _on_image("InstanceNormalization", epsilon="epsilon"),
    "nn.depth_to_space": _on_image("DepthToSpace", blocksize="block", mode="mode"),
    "nn.space_to_depth": _on_image("SpaceToDepth", blocksize="block"),
    "nn.batch_norm": _batch_norm,
    "nn.squeeze_excite": _squeeze_excite,
    "nn.resize": _resize,
    "nn.dynamic_resize": _resize,
    "nn.dynamic_resize_scales": _resize,
}
