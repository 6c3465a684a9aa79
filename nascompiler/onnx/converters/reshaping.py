"""The same elements in another shape."""

from __future__ import annotations

from nascompiler.ir.graph import Value
from nascompiler.ir.types import Dim
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal, Unknown

FAMILY = Family()


@FAMILY.op("Reshape")
def reshape(c: Conversion) -> Value:
    """Static where the shape is known but for one dimension at most, which is then left to be inferred."""
    x, shape = c.operand(0), c.operand(1)
    allow_zero = c.boolean("allowzero")
    wanted = c.partial(shape)
    if wanted is not None:
        static = _resolve(wanted, x.type.shape, allow_zero)
        if static is not None:
            return c.op("reshape", x, shape=static)
    return c.op("dynamic_reshape", x, shape, allow_zero=allow_zero)


def _resolve(
    wanted: tuple[int | None, ...], source: tuple[Dim, ...] | None, allow_zero: bool
) -> tuple[int, ...] | None:
    """The target with copied dimensions in place and one unknown as -1; None when more are unknown."""
    target: list[int | None] = []
    for index, size in enumerate(wanted):
        if size == 0 and not allow_zero:
            if source is None:
                return None
            if index >= len(source):
                raise Refusal(f"shape {list(wanted)} copies dimension {index} of an input of {len(source)}")
            copied = source[index]
            target.append(copied if isinstance(copied, int) else None)
        else:
            target.append(size)
    unknown = target.count(None)
    if unknown > 1 or (unknown and (-1 in target or 0 in target)):
        return None
    return tuple(-1 if size is None else size for size in target)


@FAMILY.op("Flatten")
def flatten(c: Conversion) -> Value:
    axis = c.integer("axis", 1)
    return c.op("flatten", c.operand(0), axis=axis if axis >= 0 else axis + c.rank(c.operand(0)))


@FAMILY.op("Squeeze", until=12)
def squeeze_by_attribute(c: Conversion) -> Value:
    return _squeeze(c, c.integers("axes"))


@FAMILY.op("Squeeze", since=13)
def squeeze(c: Conversion) -> Value:
    return _squeeze(c, c.fixed_integers(1, "axes"))


def _squeeze(c: Conversion, axes: tuple[int, ...] | None) -> Value:
    x = c.operand(0)
    shape = c.shape(x)
    if axes is None:
        if any(not isinstance(d, int) for d in shape):
            raise Unknown("without axes it needs the shape of its input: give the shapes of the graph's inputs")
        axes = tuple(i for i, d in enumerate(shape) if d == 1)
    return c.op("squeeze", x, axes=c.axes(axes, len(shape))) if axes else x


@FAMILY.op("Unsqueeze", until=12)
def unsqueeze_by_attribute(c: Conversion) -> Value:
    return _unsqueeze(c, c.integers("axes") or ())


@FAMILY.op("Unsqueeze", since=13)
def unsqueeze(c: Conversion) -> Value:
    return _unsqueeze(c, c.fixed_integers(1, "axes") or ())


def _unsqueeze(c: Conversion, axes: tuple[int, ...]) -> Value:
    x = c.operand(0)
    return c.op("unsqueeze", x, axes=tuple(sorted(c.axes(axes, c.rank(x) + len(axes))))) if axes else x
