"""The same elements under another shape."""

from __future__ import annotations

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion, OpenSize, Size
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()


@FAMILY.op("view", "_unsafe_view", "reshape", "view_copy")
def view(c: Conversion) -> Value:
    if not c.has("size") and not c.has("shape"):
        raise Refusal("a view as another element type is not supported")
    return c.reshape(c.value(), c.sizes("size", "shape"))


@FAMILY.op("flatten")
def flatten(c: Conversion) -> Value:
    x = c.value()
    start, end = c.axis(x, c.integer("start_dim")), c.axis(x, c.integer("end_dim"))
    sizes = c.sizes_of(x)
    if sum(isinstance(s, OpenSize) for s in sizes[start : end + 1]):
        return c.reshape(x, (*sizes[:start], -1, *sizes[end + 1 :]))
    count = 1
    for size in sizes[start : end + 1]:
        assert isinstance(size, int)
        count *= size
    return c.reshape(x, (*sizes[:start], count, *sizes[end + 1 :]))


@FAMILY.op("unflatten")
def unflatten(c: Conversion) -> Value:
    x = c.value()
    axis, sizes = c.axis(x, c.integer("dim")), c.sizes_of(x)
    parts: tuple[Size, ...] = c.sizes("sizes")
    if -1 in parts and isinstance(sizes[axis], int):
        known = 1
        for part in parts:
            known *= part if isinstance(part, int) and part != -1 else 1
        size = sizes[axis]
        assert isinstance(size, int)
        parts = tuple(size // known if part == -1 else part for part in parts)
    return c.reshape(x, (*sizes[:axis], *parts, *sizes[axis + 1 :]))


@FAMILY.op("permute")
def permute(c: Conversion) -> Value:
    x = c.value()
    return c.transpose(x, tuple(c.axis(x, d) for d in c.integers("dims")))


@FAMILY.op("transpose", "swapaxes")
def transpose(c: Conversion) -> Value:
    x = c.value()
    order = list(range(c.rank(x)))
    if not order:
        return x
    a, b = c.axis(x, c.integer("dim0", "axis0")), c.axis(x, c.integer("dim1", "axis1"))
    order[a], order[b] = order[b], order[a]
    return c.transpose(x, order)


@FAMILY.op("t", "numpy_T", "mT")
def matrix_transpose(c: Conversion) -> Value:
    x = c.value()
    return c.transpose(x, reversed(range(c.rank(x))) if c.rank(x) <= 2 else (*range(c.rank(x) - 2), -1, -2))


@FAMILY.op("squeeze")
def squeeze(c: Conversion) -> Value:
    """Only dimensions of size 1 go; without `dim` all of them."""
    x = c.value()
    asked = c.axes(x, "dim") if c.rank(x) else ()
    axes = tuple(a for a in asked if c.shape(x)[a] == 1)
    return c.op("squeeze", x, axes=axes) if axes else x


@FAMILY.op("unsqueeze")
def unsqueeze(c: Conversion) -> Value:
    x, axis = c.value(), c.integer("dim")
    axis += c.rank(x) + 1 if axis < 0 else 0
    if x.array is not None:
        shape = list(x.array.shape)
        return c.reshape(x, (*shape[:axis], 1, *shape[axis:]))
    return c.op("unsqueeze", x, axes=(axis,))


@FAMILY.op("expand", "broadcast_to")
def expand(c: Conversion) -> Value:
    """-1, and the size that a dimension has already, keep it."""
    x = c.value()
    sizes = c.sizes("size")
    shape = (*(1,) * (len(sizes) - c.rank(x)), *c.shape(x))
    wanted = tuple(1 if size == -1 or size == have else size for size, have in zip(sizes, shape, strict=True))
    kept = tuple(
        1 if isinstance(w, OpenSize) and not isinstance(have, int) else w for w, have in zip(wanted, shape, strict=True)
    )
    if any(isinstance(size, OpenSize) for size in kept):
        return c.op("dynamic_expand", x, c.shape_value(kept))
    if len(sizes) == c.rank(x) and all(size == 1 for size in kept):
        return x
    return c.op("expand", x, shape=kept)


@FAMILY.op("expand_as")
def expand_as(c: Conversion) -> Value:
    x, other = c.value("self"), c.value("other")
    return c.op("dynamic_expand", x, c.shape_value(c.sizes_of(other)))


@FAMILY.op("repeat", "tile")
def repeat(c: Conversion) -> Value:
    x, repeats = c.value(), c.integers("repeats", "dims")
    missing = len(repeats) - c.rank(x)
    if missing > 0:
        x = c.op("unsqueeze", x, axes=tuple(range(missing)))
    return c.op("tile", x, repeats=(*(1,) * -missing, *repeats) if missing < 0 else repeats)


@FAMILY.op("pixel_shuffle")
def pixel_shuffle(c: Conversion) -> Value:
    """The block position is the inner part of the channel index, as ONNX's CRD."""
    image = c.image(c.value(), 2)
    return c.from_image(c.op("depth_to_space", image, block=c.integer("upscale_factor"), mode="CRD"), 2)


@FAMILY.op("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(c: Conversion) -> Value:
    """Channels as a matrix [groups, channels / groups], transposed (arXiv:1707.01083, section 3.1)."""
    image, groups = c.channels_last(c.value()), c.integer("groups")
    sizes = c.sizes_of(image)
    split = c.reshape(image, (*sizes[:3], groups, c.dim(image, 3) // groups))
    return c.channels_first(c.reshape(c.transpose(split, (0, 1, 2, 4, 3)), sizes))
