"""Joining, splitting, selecting and padding."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()
END = 2**31 - 1


@FAMILY.op("cat", "concat")
def cat(c: Conversion) -> Value:
    """torch ignores empty 1-D tensors among others."""
    values = [v for v in c.values("tensors") if v.type.shape != (0,)] or c.values("tensors")[:1]
    return c.op("concat", *(c.cast(v, c.dtype) for v in values), axis=c.axis(values[0], c.integer("dim")))


@FAMILY.op("stack")
def stack(c: Conversion) -> Value:
    values, axis = c.values("tensors"), c.integer("dim")
    axis += c.rank(values[0]) + 1 if axis < 0 else 0
    parts = [c.op("unsqueeze", c.cast(v, c.dtype), axes=(axis,)) for v in values]
    return c.op("concat", *parts, axis=axis)


@FAMILY.op("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk")
def split(c: Conversion) -> tuple[Value, ...]:
    x = c.value()
    axis = c.axis(x, c.integer("dim"))
    size = c.dim(x, axis)
    given = c.integers("split_size", "split_sizes", "chunks")
    if c.has("chunks"):
        given = (-(-size // given[0]),)
    parts = given
    if len(given) == 1 and not c.operator.endswith("with_sizes"):
        parts = (given[0],) * (size // given[0]) + ((size % given[0],) if size % given[0] else ())
    return c.results("split", x, axis=axis, sizes=parts)


@FAMILY.op("unbind")
def unbind(c: Conversion) -> tuple[Value, ...]:
    x = c.value()
    axis = c.axis(x, c.integer("dim"))
    parts = c.results("split", x, axis=axis, sizes=(1,) * c.dim(x, axis))
    return tuple(c.op("squeeze", part, axes=(axis,)) for part in parts)


def _cut(c: Conversion, x: Value, axis: int, start: int, end: int, step: int = 1) -> Value:
    if (start, step) == (0, 1) and end >= END:
        return x
    bounded = min(max(end, -END), END)
    return c.op("slice", x, axes=(axis,), starts=(start,), ends=(bounded,), steps=(step,))


@FAMILY.op("slice")
def cut(c: Conversion) -> Value:
    x = c.value()
    start = c.integer("start") if c.has("start") else 0
    end = c.integer("end") if c.has("end") else END
    return _cut(c, x, c.axis(x, c.integer("dim")), start, end, c.integer("step"))


@FAMILY.op("narrow")
def narrow(c: Conversion) -> Value:
    x, start = c.value(), c.integer("start")
    axis = c.axis(x, c.integer("dim"))
    start += c.dim(x, axis) if start < 0 else 0
    return _cut(c, x, axis, start, start + c.integer("length"))


@FAMILY.op("select")
def select(c: Conversion) -> Value:
    x, index = c.value(), c.integer("index")
    axis = c.axis(x, c.integer("dim"))
    part = _cut(c, x, axis, index, END if index == -1 else index + 1)
    return c.op("squeeze", part, axes=(axis,))


@FAMILY.op("flip")
def flip(c: Conversion) -> Value:
    x = c.value()
    axes = tuple(c.axis(x, a) for a in c.integers("dims"))
    count = len(axes)
    return c.op("slice", x, axes=axes, starts=(-1,) * count, ends=(-END,) * count, steps=(-1,) * count)


@FAMILY.op("index_select")
def index_select(c: Conversion) -> Value:
    x = c.value()
    return c.op("gather", x, c.value("index"), axis=c.axis(x, c.integer("dim")))


@FAMILY.op("embedding")
def embedding(c: Conversion) -> Value:
    return c.op("gather", c.value("weight"), c.value("indices"), axis=0)


@FAMILY.op("index")
def index(c: Conversion) -> Value:
    """One tensor of indices, along any axis."""
    given = c.raw("indices")
    places = [axis for axis, value in enumerate(given) if value is not None]
    if len(places) != 1 or not given[places[0]].type.dtype.is_integer:
        raise Refusal("indexing by several tensors or by a mask; accepted: one tensor of integers")
    return c.op("gather", c.value("self"), given[places[0]], axis=places[0])


@FAMILY.op("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
def pad(c: Conversion) -> Value:
    """torch counts from the last axis: (left, right, top, bottom, ...)."""
    x, widths = c.value(), c.integers("pad", "padding")
    before, after = np.zeros(c.rank(x), int), np.zeros(c.rank(x), int)
    for place in range(len(widths) // 2):
        before[-1 - place], after[-1 - place] = widths[2 * place], widths[2 * place + 1]
    words = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}
    kind = c.operator.partition("_")[0]
    named = {"reflection": "reflect", "replication": "edge"}.get(kind, words[c.raw("mode") or "constant"])
    value = float(c.raw("value") or 0)
    return c.op("pad", x, before=before.tolist(), after=after.tolist(), mode=named, value=value)
