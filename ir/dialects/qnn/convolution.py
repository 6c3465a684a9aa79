"""Convolution and transposed convolution of quantised NHWC images."""

from nascompiler.ir.dialects.qnn.sums import register_sum

register_sum(
    "conv2d",
    "acc = sum of (x - x_zero_point) * (weight - weight_zero_point) over the window, as in nn.conv2d, exact in int32, "
    "plus bias [O] at scale x_scale * weight_scale; x is padded with its zero point. With multiplier = float32(float32("
    "x_scale * weight_scale[o]) / scale): q = clamp(rint(float32(acc) * multiplier) + zero_point), clamped from "
    "zero_point on by relu, and to rint(6 / scale) + zero_point by relu6. With hard_swish, hard_sigmoid or dtype f32: "
    "y = activation(float32(acc) * float32(x_scale * weight_scale[o])), each step in float32, then "
    "q = clamp(rint(y * float32(1 / scale)) + zero_point), or y itself.",
)
register_sum(
    "conv2d_transpose",
    "acc = the sums of nn.conv2d_transpose on x - x_zero_point and weight - weight_zero_point, exact in int32, plus "
    "bias; then as in qnn.conv2d.",
)
