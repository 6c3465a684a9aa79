"""Slices: a window of one pixel is one, two in a row are one, and padding that they cut away is never added.

NASNet's factorised reduction shifts an image by padding and slicing it and pools the result by windows of one pixel: of
four passes over the large image one over a quarter of its pixels stays.
"""

from __future__ import annotations

from nascompiler.ir import Builder, Node, Value
from nascompiler.ir.dialects.nn.indexing import END
from nascompiler.passes.infrastructure.patterns import Match, anything, op
from nascompiler.passes.infrastructure.rewriter import Rule

_POOLS = ("nn.average_pool2d", "nn.max_pool2d")


def _static_shape(value: Value) -> tuple[int, ...] | None:
    return value.type.static_shape if value.type.is_static else None


def _positions(node: Node, shape: tuple[int, ...]) -> list[range]:
    """What a slice takes along each axis of its operand."""
    taken = [range(size) for size in shape]
    for axis, *bounds in zip(node["axes"], node["starts"], node["ends"], node["steps"], strict=True):
        taken[axis] = taken[axis][slice(*bounds)]
    return taken


def _take(builder: Builder, x: Value, shape: tuple[int, ...], taken: list[range]) -> Value:
    """x at the positions along each axis, all of them rising and none of them empty."""
    axes = [axis for axis, (at, size) in enumerate(zip(taken, shape, strict=True)) if at != range(size)]
    if not axes:
        return x
    cuts = [taken[axis] for axis in axes]
    value: Value = builder.nn.slice(
        x,
        axes=axes,
        starts=[at.start for at in cuts],
        ends=[END if at[-1] + at.step >= shape[axis] else at[-1] + 1 for axis, at in zip(axes, cuts, strict=True)],
        steps=[at.step if len(at) > 1 else 1 for at in cuts],
    )
    return value


def _refuse_window(match: Match) -> str | None:
    kernel = match.root["kernel"]
    return None if kernel == (1, 1) else f"its window is {list(kernel)}"


def _strided(match: Match, builder: Builder) -> Value:
    strides = match.root["strides"]
    if strides == (1, 1):
        return match["x"]
    value: Value = builder.nn.slice(match["x"], axes=[1, 2], starts=[0, 0], ends=[END, END], steps=strides)
    return value


def _one_slice(match: Match, builder: Builder) -> Value | None:
    inner, shape = match.node("inner"), _static_shape(match["x"])
    if shape is None or min(*inner["steps"], *match.root["steps"], 1) < 0:
        return None
    first = _positions(inner, shape)
    second = _positions(match.root, tuple(map(len, first)))
    taken = [at[then.start : then.stop : then.step] for at, then in zip(first, second, strict=True)]
    return _take(builder, match["x"], shape, taken) if all(taken) else None


def _pad_of_slice(match: Match, builder: Builder) -> Value | None:
    pad, shape = match.node("pad"), _static_shape(match["x"])
    padded = _static_shape(pad.result)
    if shape is None or padded is None or pad["mode"] != "constant" or min(*match.root["steps"], 1) < 0:
        return None
    before, after, taken = [], [], []
    for at, size, low in zip(_positions(match.root, padded), shape, pad["before"], strict=True):
        inside = [position for position in at if 0 <= position - low < size]
        if not inside:
            return None
        before.append(at.index(inside[0]))
        after.append(len(at) - 1 - at.index(inside[-1]))
        taken.append(range(inside[0] - low, inside[-1] - low + 1, at.step))
    sliced = _take(builder, match["x"], shape, taken)
    value: Value = builder.nn.pad(sliced, before=before, after=after, mode="constant", value=pad["value"])
    return value


RULES = (
    Rule("pool(x, windows of one pixel) = slice(x, strides)", op(_POOLS, anything("x")), _strided, _refuse_window),
    Rule(
        "slice(slice(x)) = slice(x)",
        op("nn.slice", op("nn.slice", anything("x"), name="inner")),
        _one_slice,
    ),
    Rule(
        "slice(pad(x)) = pad(slice(x))",
        op("nn.slice", op("nn.pad", anything("x"), name="pad")),
        _pad_of_slice,
    ),
)
