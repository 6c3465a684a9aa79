"""Pooling over windows and over whole images."""

from __future__ import annotations

from nascompiler.ir.graph import Value
from nascompiler.ir.types import Dim
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family, Function
from nascompiler.onnx.converters.windows import Window, read_window
from nascompiler.onnx.errors import Refusal, Unknown

FAMILY = Family()


@FAMILY.op("MaxPool")
def max_pool(c: Conversion) -> Value:
    if c.wants_output(1):
        raise Refusal("the output Indices is not supported")
    spatial, image, window = read_pool(c)
    result = c.op("max_pool2d", image, **window_attributes(window))
    return c.from_image(result, spatial)


@FAMILY.op("AveragePool")
def average_pool(c: Conversion) -> Value:
    """With ceil_mode, counted padding is added first: the overhang of the last window never counts."""
    spatial, image, window = read_pool(c)
    counted = c.boolean("count_include_pad")
    given = read_window(c, _kernel(c), _size(c))
    if counted and window != given:
        top, left, bottom, right = given.padding
        image = c.op("pad", image, before=(0, top, left, 0), after=(0, bottom, right, 0))
        overhang = (window.padding[2] - bottom, window.padding[3] - right)
        window, counted = window.with_padding((0, 0), overhang), False
    result = c.op("average_pool2d", image, count_include_pad=counted, **window_attributes(window))
    return c.from_image(result, spatial)


def window_attributes(window: Window) -> dict[str, tuple[int, ...]]:
    """The attributes of a pool of ours."""
    return {
        "kernel": window.kernel,
        "strides": window.strides,
        "padding": window.padding,
        "dilation": window.dilation,
    }


def read_pool(c: Conversion) -> tuple[int, Value, Window]:
    """Number of spatial dimensions, NHWC input and window, lengthened at the end by what ceil_mode asks for."""
    kernel = _kernel(c)
    image = c.image(c.operand(0), len(kernel))
    window = read_window(c, kernel, _size(c))
    if c.boolean("ceil_mode"):
        size = _size(c)
        sizes: tuple[Dim, ...] = (None, None) if size is None else (1, *size) if len(size) == 1 else size
        top, left, bottom, right = window.padding
        window = window.with_padding(
            (top, left), (bottom + _overhang(window, 0, sizes[0]), right + _overhang(window, 1, sizes[1]))
        )
    return len(kernel), image, window


def _overhang(window: Window, axis: int, size: Dim) -> int:
    """Elements beyond the end that a last, incomplete window needs; one that would start there is left out."""
    stride = window.strides[axis]
    if stride == 1:
        return 0
    if not isinstance(size, int):
        raise Unknown("ceil_mode needs the size of its input: give the shapes of the graph's inputs")
    begin, end = window.padding[axis], window.padding[axis + 2]
    steps = -(-(size + begin + end - window.span(axis)) // stride)
    if steps * stride >= size + begin:
        steps -= 1
    return max(steps * stride + window.span(axis) - (size + begin + end), 0)


def _kernel(c: Conversion) -> tuple[int, ...]:
    kernel = c.integers("kernel_shape") or ()
    if len(kernel) not in (1, 2):
        raise Refusal(f"pooling over {len(kernel)} dimensions; accepted: 1 and 2")
    return kernel


def _size(c: Conversion) -> tuple[Dim, ...] | None:
    shape = c.operand(0).type.shape
    return None if shape is None else shape[2:]


def _global(op: str, reduction: str) -> Function:
    """Images have an op of their own; other ranks are reductions over all but batch and channels."""

    def convert(c: Conversion) -> Value:
        x = c.operand(0)
        rank = c.rank(x)
        if rank == 4:
            return c.channels_first(c.op(op, c.channels_last(x)))
        if rank < 3:
            raise Refusal(f"its input has {rank} dimensions; at least 3 are expected")
        return c.op(reduction, x, axes=tuple(range(2, rank)), keepdims=True)

    return convert


FAMILY.add(_global("global_average_pool", "reduce_mean"), "GlobalAveragePool")
FAMILY.add(_global("global_max_pool", "reduce_max"), "GlobalMaxPool")
