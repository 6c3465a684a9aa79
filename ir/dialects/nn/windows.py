"""Geometry of sliding windows over NHWC images, shared by convolution and pooling."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import Array, Dim

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]
"""Elements added at top, left, bottom and right."""


def extent(kernel: int, dilation: int) -> int:
    """How many elements a dilated kernel spans, from its first to its last tap."""
    return dilation * (kernel - 1) + 1


def output_size(axis: int, size: Dim, kernel: Dim, stride: int, padding: Padding, dilation: int) -> Dim:
    """Number of windows along height (`axis` 0) or width (1); refused when it would be less than 1."""
    if not isinstance(size, int) or not isinstance(kernel, int):
        return None
    before, after = padding[axis], padding[axis + 2]
    span = extent(kernel, dilation)
    if kernel < 1 or size + before + after < span:
        raise InferenceError(
            f"the {('height', 'width')[axis]} of x is {size}, with padding {size + before + after}: smaller than the "
            f"kernel, which is {kernel} with dilation {dilation} and spans {span}; at least one window must fit"
        )
    return (size + before + after - span) // stride + 1


def padded(x: Array, padding: Padding, value: float | int = 0) -> Array:
    """`x` [N, H, W, C] with `value` around it."""
    top, left, bottom, right = padding
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def tap(x: Array, row: int, column: int, size: Pair, strides: Pair, dilation: Pair) -> Array:
    """The element under kernel position (row, column) of each window: [N, H', W', C] for `size` = (H', W')."""
    top, left = row * dilation[0], column * dilation[1]
    return x[
        :,
        top : top + (size[0] - 1) * strides[0] + 1 : strides[0],
        left : left + (size[1] - 1) * strides[1] + 1 : strides[1],
    ]


def patches(x: Array, kernel: Pair, strides: Pair, dilation: Pair) -> Array:
    """A view [N, H', W', kh, kw, C] of all windows of `x` [N, H, W, C], without padding."""
    spans = (extent(kernel[0], dilation[0]), extent(kernel[1], dilation[1]))
    windows = sliding_window_view(x, spans, axis=(1, 2))[  # [N, H', W', C, span, span]
        :, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]
    ]
    return np.moveaxis(windows, 3, 5)
