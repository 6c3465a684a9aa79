"""Convolutions over one or two spatial dimensions; weights go from OIHW to HWIO."""

from __future__ import annotations

from nascompiler.ir.graph import Value
from nascompiler.ir.types import Dim
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.converters.windows import Window, as_pair, read_window
from nascompiler.onnx.errors import Refusal, Unknown

FAMILY = Family()


@FAMILY.op("Conv")
def conv(c: Conversion) -> Value:
    x, weight = c.operand(0), c.operand(1)
    spatial = spatial_dimensions(c, weight)
    image = c.image(x, spatial)
    window = read_window(c, kernel_sizes(c, weight), image_size(c, x))
    kernel = c.transpose(as_two_dimensional(c, weight, spatial), (2, 3, 1, 0))
    result = c.op(
        "conv2d",
        image,
        kernel,
        c.optional(2),
        strides=window.strides,
        padding=window.padding,
        dilation=window.dilation,
        groups=c.integer("group", 1),
    )
    return c.from_image(result, spatial)


@FAMILY.op("ConvTranspose")
def conv_transpose(c: Conversion) -> Value:
    """ONNX's weight is [C, O / groups, kh, kw], ours [kh, kw, C, O / groups]."""
    x, weight = c.operand(0), c.operand(1)
    spatial = spatial_dimensions(c, weight)
    image = c.image(x, spatial)
    sizes = kernel_sizes(c, weight)
    window, output_padding = _transposed_window(c, sizes, image_size(c, x))
    kernel = c.transpose(as_two_dimensional(c, weight, spatial), (2, 3, 0, 1))
    result = c.op(
        "conv2d_transpose",
        image,
        kernel,
        c.optional(2),
        strides=window.strides,
        padding=window.padding,
        output_padding=output_padding,
        dilation=window.dilation,
        groups=c.integer("group", 1),
    )
    return c.from_image(result, spatial)


def _transposed_window(
    c: Conversion, kernel: tuple[int, ...], size: tuple[Dim, ...] | None
) -> tuple[Window, tuple[int, int]]:
    """Window and output padding; `output_shape` and SAME ask for padding that gives the output a certain size."""
    extra = c.integers("output_padding") or (0,) * len(kernel)
    wanted = c.integers("output_shape")
    same = c.text("auto_pad", "NOTSET") in ("SAME_UPPER", "SAME_LOWER")
    if len(extra) != len(kernel) or min(extra) < 0:
        raise Refusal(f"output_padding {list(extra)}; accepted: {len(kernel)} numbers from 0")
    window = read_window(c, kernel, size, ignore_padding=same or bool(wanted))
    if same or wanted:
        strides = window.strides[-len(kernel) :]
        spans = [window.span(axis) for axis in (0, 1)][-len(kernel) :]
        if wanted:
            lengths = [d for d in size or () if isinstance(d, int)]
            if len(lengths) != len(kernel):
                raise Unknown("output_shape needs the size of its input: give the shapes of the graph's inputs")
            ends = [w - (n - 1) * s for w, n, s in zip(wanted[-len(kernel) :], lengths, strides, strict=True)]
        else:
            ends = list(strides)  # the output is stride times as long as the input
        totals = [span + e - end for span, e, end in zip(spans, extra, ends, strict=True)]
        extra = tuple(e - min(t, 0) for e, t in zip(extra, totals, strict=True))  # too short: longer at the end
        totals = [max(t, 0) for t in totals]
        if any(e >= stride for e, stride in zip(extra, strides, strict=True) if e):
            raise Refusal(f"its output is larger than input, kernel {list(kernel)} and strides {list(strides)} make it")
        smaller = [t // 2 for t in totals]
        larger = [t - t // 2 for t in totals]
        upper = c.text("auto_pad", "NOTSET") == "SAME_UPPER"
        window = window.with_padding(smaller, larger) if upper else window.with_padding(larger, smaller)
    return window, as_pair(extra, 0)


def spatial_dimensions(c: Conversion, weight: Value) -> int:
    """1 or 2, from the rank of a convolution's weight; refuses others."""
    spatial = c.rank(weight) - 2
    if spatial not in (1, 2):
        raise Refusal(f"a convolution over {spatial} dimensions; accepted: 1 and 2")
    return spatial


def kernel_sizes(c: Conversion, weight: Value) -> tuple[int, ...]:
    """Spatial sizes of the weight [O, I, ...], by the attribute where there is one."""
    shape = c.shape(weight)[2:]
    kernel = c.integers("kernel_shape") or tuple(d for d in shape if isinstance(d, int))
    if len(kernel) != len(shape) or any(isinstance(d, int) and d != k for d, k in zip(shape, kernel, strict=True)):
        raise Refusal(f"kernel_shape {list(kernel)} does not fit its weight {weight.type}")
    return kernel


def image_size(c: Conversion, x: Value) -> tuple[Dim, ...] | None:
    """Spatial sizes of [N, C, ...]."""
    return None if x.type.shape is None else x.type.shape[2:]


def as_two_dimensional(c: Conversion, weight: Value, spatial: int) -> Value:
    """A weight [O, I, W] as [O, I, 1, W]."""
    if spatial == 2:
        return weight
    if weight.array is not None:
        return c.constant(weight.array[:, :, None, :])
    integers = c.rearranged(weight, lambda array: array[:, :, None, :], (0, 1, 3))
    return integers or c.op("unsqueeze", weight, axes=(2,))
