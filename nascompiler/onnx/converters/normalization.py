"""Normalisation: batch, instance, layer, group, root mean square, across channels."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.ir.types import DType
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal

FAMILY = Family()


@FAMILY.op("BatchNormalization", spatial=(1,), training_mode=(0,))
def batch_norm(c: Conversion) -> Value:
    """Channels are axis 1; images are normalised as NHWC, next to the convolutions."""
    if c.output_count > 1:
        raise Refusal("outputs of training are not supported")
    x = c.operand(0)
    parameters = [c.operand(i) for i in range(1, 5)]
    epsilon = c.number("epsilon")
    if x.type.rank == 4:
        result = c.op("batch_norm", c.channels_last(x), *parameters, axis=3, epsilon=epsilon)
        return c.channels_first(result)
    if c.rank(x) == 3:
        return c.from_image(c.op("batch_norm", c.image(x, 1), *parameters, axis=3, epsilon=epsilon), 1)
    return c.op("batch_norm", x, *parameters, axis=c.axis(1, c.rank(x)), epsilon=epsilon)


@FAMILY.op("InstanceNormalization")
def instance_norm(c: Conversion) -> Value:
    x = c.operand(0)
    spatial = c.rank(x) - 2
    if spatial not in (1, 2):
        raise Refusal(f"its input has {spatial + 2} dimensions; accepted: 3 and 4")
    image = c.image(x, spatial)
    result = c.op("instance_norm", image, c.operand(1), c.operand(2), epsilon=c.number("epsilon"))
    return c.from_image(result, spatial)


@FAMILY.op("LayerNormalization")
def layer_norm(c: Conversion) -> tuple[Value, ...]:
    """The outputs Mean and InvStdDev, when they are wanted, are computed beside it."""
    x = c.operand(0)
    rank = c.rank(x)
    axis = c.axis(c.integer("axis", -1), rank)
    result = c.op("layer_norm", x, c.operand(1), c.optional(2), axis=axis, epsilon=c.number("epsilon"))
    if c.output_count == 1:
        return (result,)
    if c.dtype(x) is not DType.F32:
        raise Refusal("Mean and InvStdDev are supported for float32 only")
    mean = c.op("reduce_mean", x, axes=tuple(range(axis, rank)))
    centered = c.op("sub", x, mean)
    variance = c.op("reduce_mean", c.op("mul", centered, centered), axes=tuple(range(axis, rank)))
    inverse = c.op("reciprocal", c.op("sqrt", c.op("add", variance, c.scalar(c.number("epsilon"), x))))
    return result, mean, inverse


@FAMILY.op("GroupNormalization")
def group_norm(c: Conversion) -> Value:
    """Groups of channels as rows (arXiv:1803.08494); scale and bias per group before opset 21, then per channel."""
    x, scale, bias = c.operand(0), c.operand(1), c.operand(2)
    rank, groups = c.rank(x), c.integer("num_groups")
    shape = c.shape(x)
    rows = c.op("dynamic_reshape", x, c.constant([0, groups, -1], DType.I64))
    if c.opset < 21:
        normal = c.op("layer_norm", rows, axis=2, epsilon=c.number("epsilon"))
        normal = c.op("mul", normal, c.op("unsqueeze", scale, axes=(1,)))
        return _restore(c, c.op("add", normal, c.op("unsqueeze", bias, axes=(1,))), x)
    if shape[1] is None or groups < 1:
        raise Refusal(f"num_groups={groups} of {shape[1]} channels")
    normal = _restore(c, c.op("layer_norm", rows, axis=2, epsilon=c.number("epsilon")), x)
    along = tuple(range(1, rank - 1))
    normal = c.op("mul", normal, c.op("unsqueeze", scale, axes=along) if along else scale)
    return c.op("add", normal, c.op("unsqueeze", bias, axes=along) if along else bias)


def _restore(c: Conversion, value: Value, like: Value) -> Value:
    """`value` in the shape of `like`."""
    shape = c.op("shape", like)
    if shape.array is not None:
        return c.op("reshape", value, shape=tuple(map(int, shape.array)))
    return c.op("dynamic_reshape", value, shape, allow_zero=True)


@FAMILY.op("RMSNormalization")
def rms_norm(c: Conversion) -> Value:
    """x / sqrt(mean(x^2) + epsilon) * scale over the axes from `axis` on (arXiv:1910.07467)."""
    x = c.operand(0)
    rank = c.rank(x)
    axes = tuple(range(c.axis(c.integer("axis", -1), rank), rank))
    square = c.op("reduce_mean", c.op("mul", x, x), axes=axes)
    root = c.op("sqrt", c.op("add", square, c.scalar(c.number("epsilon"), x)))
    return c.op("mul", c.op("div", x, root), c.operand(1))


@FAMILY.op("MeanVarianceNormalization")
def mean_variance_norm(c: Conversion) -> Value:
    """(x - mean) / (standard deviation + 1e-9), as the function body in the ONNX specification has it."""
    x = c.operand(0)
    axes = c.axes(c.integers("axes") or (0, 2, 3), c.rank(x))
    centered = c.op("sub", x, c.op("reduce_mean", x, axes=axes))
    variance = c.op("reduce_mean", c.op("mul", centered, centered), axes=axes)
    return c.op("div", centered, c.op("add", c.op("sqrt", variance), c.scalar(1e-9, x)))


@FAMILY.op("LpNormalization", p=(1, 2))
def lp_norm(c: Conversion) -> Value:
    """x / norm along `axis`, 0 where the norm is."""
    x = c.operand(0)
    axes = (c.axis(c.integer("axis", -1), c.rank(x)),)
    if c.integer("p", 2) == 1:
        norm = c.op("reduce_sum", c.op("abs", x), axes=axes)
    else:
        norm = c.op("sqrt", c.op("reduce_sum", c.op("mul", x, x), axes=axes))
    is_zero = c.op("equal", norm, c.scalar(0, x))
    return c.op("div", x, c.op("where", is_zero, c.scalar(1, x), norm))


@FAMILY.op("LRN")
def local_response_norm(c: Conversion) -> Value:
    """x / (bias + alpha / size * sum of squares of `size` neighbouring channels)^beta (AlexNet, section 3.3)."""
    x, size = c.operand(0), c.integer("size")
    rank = c.rank(x)
    if not 1 <= size <= 255:
        raise Refusal(f"size={size}; accepted: 1 to 255")
    before, after = np.zeros(rank, int), np.zeros(rank, int)
    before[c.axis(1, rank)], after[1] = (size - 1) // 2, size // 2
    squares = c.op("pad", c.op("mul", x, x), before=before.tolist(), after=after.tolist())
    total = None
    for shift in range(size):
        end = shift - size + 1
        part = c.op("slice", squares, axes=(1,), starts=(shift,), ends=(end or 2**31 - 1,), steps=(1,))
        total = part if total is None else c.op("add", total, part)
    assert total is not None
    scaled = c.op("mul", total, c.scalar(c.number("alpha") / size, x))
    base = c.op("add", scaled, c.scalar(c.number("bias"), x))
    return c.op("div", x, c.op("pow", base, c.scalar(c.number("beta"), x)))
