"""Convolutions over one or two spatial dimensions; weights go from OIHW to HWIO."""

from __future__ import annotations

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()


@FAMILY.op("conv1d", "conv2d", "convolution", "_convolution", "conv_transpose1d", "conv_transpose2d")
def convolution(c: Conversion) -> Value:
    x, weight = c.value("input"), c.value("weight")
    spatial = c.rank(weight) - 2
    if spatial not in (1, 2):
        raise Refusal(f"a convolution over {spatial} dimensions; accepted: 1 and 2")
    image = c.image(x, spatial)
    if spatial == 1:
        weight = c.reshape(weight, (c.dim(weight, 0), c.dim(weight, 1), 1, c.dim(weight, 2)))
    kernel = (c.dim(weight, 2), c.dim(weight, 3))
    dilation = _lengthened(c.integers("dilation"), spatial, 1)
    how = {
        "strides": _lengthened(c.integers("stride"), spatial, 1),
        "padding": _padding(c, spatial, kernel, dilation),
        "dilation": dilation,
        "groups": c.integer("groups"),
    }
    bias = c.optional("bias")
    if c.boolean("transposed") or c.operator.startswith("conv_transpose"):
        extra = _lengthened(c.integers("output_padding"), spatial, 0)
        result = c.op("conv2d_transpose", image, c.transpose(weight, (2, 3, 0, 1)), bias, output_padding=extra, **how)
    else:
        result = c.op("conv2d", image, c.transpose(weight, (2, 3, 1, 0)), bias, **how)
    return c.from_image(result, spatial)


def _lengthened(given: tuple[int, ...], spatial: int, missing: int) -> tuple[int, int]:
    """(height, width) of one number for all dimensions, or one for each."""
    each = given if len(given) == spatial else given * spatial
    if len(each) != spatial:
        raise Refusal(f"{list(given)} where {spatial} number(s) are expected")
    return (missing, each[0]) if spatial == 1 else (each[0], each[1])


def _padding(
    c: Conversion, spatial: int, kernel: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, left, bottom, right; the word `same` puts the odd element at the end."""
    word = c.raw("padding")
    if word == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return totals[0] // 2, totals[1] // 2, totals[0] - totals[0] // 2, totals[1] - totals[1] // 2
    height, width = (0, 0) if word == "valid" else _lengthened(c.integers("padding"), spatial, 0)
    return height, width, height, width
