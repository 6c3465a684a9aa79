"""Convolution and transposed convolution of NHWC images."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.attributes import AttributeDef, integer, integers
from nascompiler.ir.dialects.nn.fused import ACTIVATION, activate
from nascompiler.ir.dialects.nn.inference import dims, divided, like, require_dim, require_same_dtype, scaled, unify
from nascompiler.ir.dialects.nn.windows import Padding, Pair, extent, output_size, padded, patches, tap
from nascompiler.ir.ops import InferenceError, OpDef, floats, register_op
from nascompiler.ir.types import Array, Dim, TensorType

_PATCH_ELEMENTS = 1 << 23
"""How many elements of unfolded windows a convolution holds at a time."""

_WINDOW_ATTRIBUTES: tuple[AttributeDef, ...] = (
    integers("strides", (1, 1), length=2, minimum=1),
    integers("padding", (0, 0, 0, 0), length=4, minimum=0),
)
_DILATION = integers("dilation", (1, 1), length=2, minimum=1)
_GROUPS = integer("groups", 1, minimum=1)
_OPERANDS = (
    floats("x", rank=4),
    floats("weight", rank=4, parameter=True),
    floats("bias", rank=1, parameter=True, optional=True),
)


def _accumulator(x: Array) -> np.dtype[np.generic]:
    """Sums of half-precision products are kept in single precision."""
    return np.dtype(np.float32) if x.dtype == np.float16 else x.dtype


def infer_conv2d(
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None,
    *,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    activation: str = "none",
) -> TensorType:
    """x [N, H, W, C], weight [kh, kw, C / groups, O], bias [O] -> [N, H', W', O]."""
    require_same_dtype(x=x, weight=weight, bias=bias)
    batch, height, width, channels = dims(x)
    kernel_height, kernel_width, _, features = dims(weight)
    per_group = divided("the channel count of x", channels, groups, "groups")
    divided("dimension 3 of weight (output channels)", features, groups, "groups")
    require_dim("weight", 2, weight, per_group, f"the channels of x, {channels}, divided by groups, {groups}")
    if bias is not None:
        require_dim("bias", 0, bias, features, "the output channels of weight")
        features = unify(features, dims(bias)[0])
    return TensorType(
        (
            batch,
            output_size(0, height, kernel_height, strides[0], padding, dilation[0]),
            output_size(1, width, kernel_width, strides[1], padding, dilation[1]),
            features,
        ),
        x.dtype,
    )


def _conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    activation: str = "none",
) -> Array:
    dtype = _accumulator(x)
    image = padded(x.astype(dtype, copy=False), padding)
    kernel = weight.astype(dtype, copy=False)
    if weight.shape[2] == 1 and groups > 1:
        result = _depthwise(image, kernel, strides, dilation)
    else:
        parts = [
            _dense(part, filters, strides, dilation)
            for part, filters in zip(np.split(image, groups, axis=3), np.split(kernel, groups, axis=3), strict=True)
        ]
        result = parts[0] if groups == 1 else np.concatenate(parts, axis=3)
    if bias is not None:
        result = np.add(result, bias)
    return activate(like(result, x), activation)


def _dense(x: Array, weight: Array, strides: Pair, dilation: Pair) -> Array:
    """One group, by unfolding the windows of some rows at a time into a matrix."""
    kernel_height, kernel_width, channels, features = weight.shape
    windows = patches(x, (kernel_height, kernel_width), strides, dilation)
    batch, height, width = windows.shape[:3]
    depth = kernel_height * kernel_width * channels
    matrix = weight.reshape(depth, features)
    rows = max(1, _PATCH_ELEMENTS // max(1, width * depth))
    result = np.empty((batch, height, width, features), x.dtype)
    for n in range(batch):
        for start in range(0, height, rows):
            block = windows[n, start : start + rows]
            result[n, start : start + rows] = np.matmul(block.reshape(-1, depth), matrix).reshape(-1, width, features)
    return result


def _depthwise(x: Array, weight: Array, strides: Pair, dilation: Pair) -> Array:
    """One input channel a group; each has features / channels filters."""
    kernel_height, kernel_width, _, features = weight.shape
    batch, height, width, channels = x.shape
    size = (
        (height - extent(kernel_height, dilation[0])) // strides[0] + 1,
        (width - extent(kernel_width, dilation[1])) // strides[1] + 1,
    )
    repeats = features // channels if channels else 1
    image = x if repeats == 1 else np.repeat(x, repeats, axis=3)
    result = np.zeros((batch, *size, features), x.dtype)
    product = np.empty_like(result)
    for row in range(kernel_height):
        for column in range(kernel_width):
            np.multiply(tap(image, row, column, size, strides, dilation), weight[row, column, 0], out=product)
            np.add(result, product, out=result)
    return result


register_op(
    OpDef(
        name="nn.conv2d",
        summary=(
            "Convolution of x [N, H, W, C] with weight [kh, kw, C / groups, O], plus bias [O]; `padding` is (top, "
            "left, bottom, right) zeros. Depthwise: groups = C, weight [kh, kw, 1, C * m]. "
            "`activation` follows. -> [N, H', W', O]."
        ),
        operands=_OPERANDS,
        attributes=(*_WINDOW_ATTRIBUTES, _DILATION, _GROUPS, ACTIVATION),
        infer=infer_conv2d,
        evaluate=_conv2d,
        macs=lambda result, x, weight, bias, **attributes: result.size * TensorType(dims(weight)[:3]).size,
    )
)


def _infer_transpose(
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None,
    *,
    strides: Pair,
    padding: Padding,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
    activation: str = "none",
) -> TensorType:
    require_same_dtype(x=x, weight=weight, bias=bias)
    batch, height, width, channels = dims(x)
    divided("the channel count of x", channels, groups, "groups")
    require_dim("weight", 2, weight, channels, "the channels of x")
    features = scaled(dims(weight)[3], groups)
    if bias is not None:
        require_dim("bias", 0, bias, features, "dimension 3 of weight times groups")
        features = unify(features, dims(bias)[0])
    size: list[Dim] = []
    for axis, length in enumerate((height, width)):
        taps = dims(weight)[axis]
        if not isinstance(length, int) or not isinstance(taps, int):
            size.append(None)
            continue
        cropped = padding[axis] + padding[axis + 2]
        full = (length - 1) * strides[axis] + extent(taps, dilation[axis]) + output_padding[axis]
        if full - cropped < 1 or length < 1 or taps < 1:
            raise InferenceError(
                f"the {('height', 'width')[axis]} of x is {length}, which a kernel of {taps} with stride "
                f"{strides[axis]} and dilation {dilation[axis]} spreads to {full}; "
                f"padding {cropped} leaves nothing of it"
            )
        size.append(full - cropped)
    return TensorType((batch, *size, features), x.dtype)


def _conv2d_transpose(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    strides: Pair,
    padding: Padding,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
    activation: str = "none",
) -> Array:
    dtype = _accumulator(x)
    batch, height, width, _ = x.shape
    kernel_height, kernel_width, _, per_group = weight.shape
    full = (
        (height - 1) * strides[0] + extent(kernel_height, dilation[0]) + output_padding[0],
        (width - 1) * strides[1] + extent(kernel_width, dilation[1]) + output_padding[1],
    )
    spread = np.zeros((batch, *full, groups, per_group), dtype)
    # [N, H, W, groups, 1, C / groups] @ [groups, C / groups, O / groups]
    image = x.astype(dtype, copy=False).reshape(batch, height, width, groups, 1, -1)
    filters = weight.astype(dtype, copy=False).reshape(kernel_height, kernel_width, groups, -1, per_group)
    for row in range(kernel_height):
        for column in range(kernel_width):
            target = tap(spread, row, column, (height, width), strides, dilation)
            product = np.matmul(image, filters[row, column])[..., 0, :]
            np.add(target, product, out=target)
    top, left, bottom, right = padding
    result = spread[:, top : full[0] - bottom, left : full[1] - right].reshape(
        batch, full[0] - top - bottom, full[1] - left - right, groups * per_group
    )
    if bias is not None:
        result = np.add(result, bias)
    return activate(like(result, x), activation)


register_op(
    OpDef(
        name="nn.conv2d_transpose",
        summary=(
            "The gradient of a convolution by its input: x [N, H, W, C], weight [kh, kw, C, O / groups], bias [O] -> "
            "[N, H', W', O] with H' = (H - 1) * stride + dilation * (kh - 1) + 1 + output_padding - top - bottom; "
            "`activation` follows."
        ),
        operands=_OPERANDS,
        attributes=(
            *_WINDOW_ATTRIBUTES,
            integers("output_padding", (0, 0), length=2, minimum=0),
            _DILATION,
            _GROUPS,
            ACTIVATION,
        ),
        infer=_infer_transpose,
        evaluate=_conv2d_transpose,
        macs=lambda result, x, weight, bias, **attributes: (
            x.size * TensorType((*dims(weight)[:2], dims(weight)[3])).size
        ),
    )
)
