"""Where float32 products are faster in slices of bytes, by tile registers, than by multiply-adds of vectors."""

from __future__ import annotations

from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.target import Target

VARIANT = "slices of bytes by tiles"
"""How variants in slices are named, with the order of their loops behind."""

PRODUCTS = 6
"""Products of bytes for each product of float32 numbers."""

_ROWS, _COLUMNS, _TERMS = 16, 16, 64
"""A tile of x has so many rows, one of weights so many columns, and both so many terms of a sum."""

_LEAST_TERMS = 32
"""Shorter sums are mostly padding."""

_PATCH_ROWS, _LEAST_CHANNELS = 2, 16
"""Rows of the result that a convolution computes together, and channels that it can stage."""

_STAGE, _STAGE_TERM, _MULTIPLY, _FINISH = 240, 13, 250, 180
"""What a row costs, each of its terms, each tile of weights that it meets, and each panel of columns: in multiply-adds
of float32 in the same time, as measured on Sapphire Rapids."""

_SAVED = 1 / 3
"""What part of a block a short one saves: it takes four products instead of six."""

_ELSEWHERE = 1.4
"""How much more it is where rows and weights do not lie in a cache."""


def can_slice(m: int, n: int, k: int, target: Target) -> bool:
    """Whether there is a kernel for products [m, k] @ [k, n] in slices."""
    return "amx" in target.isa.dots and m >= _ROWS and n >= _COLUMNS and k >= _LEAST_TERMS


def slicing_gain(m: int, n: int, k: int, target: Target) -> float:
    """The time of products [m, k] @ [k, n] by multiply-adds over that in slices, as expected; 0 without a kernel."""
    if not can_slice(m, n, k, target):
        return 0.0
    panels = -(-n // _COLUMNS)
    blocks = -(-k // _TERMS) - _SAVED * (0 < k % _TERMS <= _TERMS // 2)
    row = _STAGE + _STAGE_TERM * k + panels * (_MULTIPLY * blocks + _FINISH)
    return k * panels * _COLUMNS / (_ELSEWHERE * row)


def can_slice_window(window: Window, target: Target) -> bool:
    """Whether there is a kernel for a dense convolution in slices: of two rows at least, half a tile wide or wider."""
    is_dense = window.groups == 1 and window.dilation == (1, 1) and not window.is_pointwise
    fits = window.output[0] >= _PATCH_ROWS and window.output[1] >= _ROWS // 2 and window.channels >= _LEAST_CHANNELS
    return "amx" in target.isa.dots and is_dense and fits and window.features >= _COLUMNS


def window_slicing_gain(window: Window, target: Target) -> float:
    """The time of a dense convolution by multiply-adds over that in slices, as expected; 0 without a kernel."""
    if not can_slice_window(window, target):
        return 0.0
    panels, (height, width) = -(-window.features // _COLUMNS), window.kernel
    lines = (_PATCH_ROWS - 1) * window.strides[0] + height
    pixels = (_ROWS - 1) * window.strides[1] + width
    staged = lines * pixels / (_PATCH_ROWS * _ROWS)  # pixels of x for each of the result
    blocks = height * width * -(-window.channels // _TERMS)
    pixel = staged * (_STAGE + _STAGE_TERM * window.channels) + panels * (_MULTIPLY * blocks + _FINISH)
    return height * width * window.channels * panels * _COLUMNS / (_ELSEWHERE * pixel)


def is_sliced(variant: str) -> bool:
    """Whether a variant computes products in slices."""
    return variant.startswith(VARIANT)
