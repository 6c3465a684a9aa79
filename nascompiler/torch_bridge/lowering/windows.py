"""Geometry of windows over NCHW images: padding that torch's ops do not take, and the taps of a window."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]
"""Top, left, bottom, right."""


def symmetric(padding: Padding) -> Pair | None:
    """(height, width) when both sides of each are padded alike, which is what torch's ops take, else None."""
    top, left, bottom, right = padding
    return (top, left) if top == bottom and left == right else None


def padded(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """x [N, C, H, W] with `value` around it; negative counts crop."""
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def spans(kernel: Pair, dilation: Pair) -> Pair:
    """How many elements a dilated kernel covers."""
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def taps(x: Tensor, kernel: Pair, strides: Pair, dilation: Pair) -> Iterator[Tensor]:
    """For each kernel position the elements [N, C, H', W'] of a padded image under it."""
    span = spans(kernel, dilation)
    height = (x.shape[2] - span[0]) // strides[0] * strides[0] + 1
    width = (x.shape[3] - span[1]) // strides[1] * strides[1] + 1
    for row in range(0, span[0], dilation[0]):
        for column in range(0, span[1], dilation[1]):
            yield x[:, :, row : row + height : strides[0], column : column + width : strides[1]]


@lru_cache(maxsize=1024)
def _inside(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> tuple[int, ...]:
    """How many taps of each window along one axis lie inside the image."""
    span = dilation * (kernel - 1) + 1
    starts = range(-before, size + after - span + 1, stride)
    return tuple(sum(0 <= start + tap * dilation < size for tap in range(kernel)) for start in starts)


def counts(x: Tensor, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair) -> Tensor:
    """[H', W']: how many elements of the unpadded image x [N, C, H, W] each window sees."""
    height, width = (
        torch.tensor(
            _inside(x.shape[2 + i], kernel[i], strides[i], padding[i], padding[i + 2], dilation[i]),
            dtype=x.dtype,
            device=x.device,
        )
        for i in (0, 1)
    )
    return height[:, None] * width
