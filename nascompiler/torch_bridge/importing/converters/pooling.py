"""Pooling over windows and over whole images."""

from __future__ import annotations

from typing import Any

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()


def _pair(c: Conversion, name: str, spatial: int, default: tuple[int, int]) -> tuple[int, int]:
    """An argument as (height, width); along the height of a line nothing happens."""
    if not c.integers(name):
        return default
    height, width = c.pair(name)
    return (height, width) if spatial == 2 else (0 if name == "padding" else 1, width)


class _Window:
    """Image, window attributes and, with ceil_mode, the overhang of the last windows at bottom and right."""

    def __init__(self, c: Conversion) -> None:
        self.spatial = c.rank(c.value()) - 2
        if self.spatial not in (1, 2):
            raise Refusal(f"pooling of {self.spatial + 2} dimensions; accepted: 3 and 4")
        self.image = c.image(c.value(), self.spatial)
        self.kernel = _pair(c, "kernel_size", self.spatial, (1, 1))
        self.strides = _pair(c, "stride", self.spatial, self.kernel)
        self.dilation = _pair(c, "dilation", self.spatial, (1, 1)) if c.has("dilation") else (1, 1)
        height, width = _pair(c, "padding", self.spatial, (0, 0))
        self.padding = (height, width, height, width)
        self.overhang = (0, 0)
        if c.boolean("ceil_mode"):
            self.overhang = (self._overhang(c, 0), self._overhang(c, 1))

    def _overhang(self, c: Conversion, axis: int) -> int:
        """Elements beyond the end that a last, incomplete window needs; one that would start there is left out."""
        stride, pad = self.strides[axis], self.padding[axis]
        if stride == 1:
            return 0
        size = c.dim(self.image, 1 + axis)
        span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        steps = -(-(size + 2 * pad - span) // stride)
        if steps * stride >= size + pad:
            steps -= 1
        return max(steps * stride + span - (size + 2 * pad), 0)

    def attributes(self, *, padding: bool = True) -> dict[str, Any]:
        top, left, bottom, right = self.padding if padding else (0, 0, 0, 0)
        return {
            "kernel": self.kernel,
            "strides": self.strides,
            "padding": (top, left, bottom + self.overhang[0], right + self.overhang[1]),
            "dilation": self.dilation,
        }


@FAMILY.op("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool1d_with_indices")
def max_pool(c: Conversion) -> tuple[Any, ...]:
    window = _Window(c)
    return c.from_image(c.op("max_pool2d", window.image, **window.attributes()), window.spatial), None


@FAMILY.op("avg_pool1d", "avg_pool2d")
def average_pool(c: Conversion) -> Value:
    """With ceil_mode, counted padding is added first: the overhang of the last window never counts."""
    if c.raw("divisor_override") is not None:
        raise Refusal("divisor_override is not supported")
    window = _Window(c)
    counted, image = c.boolean("count_include_pad"), window.image
    if counted and any(window.overhang) and any(window.padding):
        top, left, bottom, right = window.padding
        image = c.op("pad", image, before=(0, top, left, 0), after=(0, bottom, right, 0))
        result = c.op("average_pool2d", image, count_include_pad=False, **window.attributes(padding=False))
    else:
        counted = counted and not any(window.overhang)
        result = c.op("average_pool2d", image, count_include_pad=counted, **window.attributes())
    return c.from_image(result, window.spatial)


def _adaptive(c: Conversion, op: str) -> Value:
    """To one pixel, or to a size that divides the image's."""
    x = c.value()
    spatial = c.rank(x) - 2
    image = c.image(x, spatial)
    given = c.raw("output_size")
    wanted = list(given) if isinstance(given, (list, tuple)) else [given] * spatial
    if spatial == 1:
        wanted = [1, *wanted]
    if wanted == [1, 1]:
        return c.from_image(c.op(f"global_{op}_pool", image), spatial)
    sizes = (c.dim(image, 1), c.dim(image, 2))
    target = [size if w is None else w for w, size in zip(wanted, sizes, strict=True)]
    if any(size % w for size, w in zip(sizes, target, strict=True)):
        raise Refusal(
            f"output_size {target} of an image of {list(sizes)}; accepted: 1, or sizes that divide the image's"
        )
    kernel = (sizes[0] // target[0], sizes[1] // target[1])
    if kernel == (1, 1):
        return x
    return c.from_image(c.op(f"{op}_pool2d", image, kernel=kernel, strides=kernel), spatial)


@FAMILY.op("adaptive_avg_pool1d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d")
def adaptive_average_pool(c: Conversion) -> Value:
    return _adaptive(c, "average")


@FAMILY.op("adaptive_max_pool1d", "adaptive_max_pool2d")
def adaptive_max_pool(c: Conversion) -> tuple[Any, ...]:
    return _adaptive(c, "max"), None
