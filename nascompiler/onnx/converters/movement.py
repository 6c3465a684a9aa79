"""Permuting, joining, splitting and repeating."""

from __future__ import annotations

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal, Unknown

FAMILY = Family()


@FAMILY.op("Transpose")
def transpose(c: Conversion) -> Value:
    x = c.operand(0)
    permutation = c.integers("perm") or tuple(reversed(range(c.rank(x))))
    if sorted(permutation) != list(range(len(permutation))):
        raise Refusal(f"perm {list(permutation)} is no permutation")
    return c.transpose(x, permutation)


@FAMILY.op("Concat")
def concat(c: Conversion) -> Value:
    values = c.all_operands()
    return c.op("concat", *values, axis=c.axis(c.integer("axis"), c.rank(values[0])))


@FAMILY.op("Split", until=12)
def split_by_attribute(c: Conversion) -> tuple[Value, ...]:
    return _split(c, c.integers("split"))


@FAMILY.op("Split", since=13)
def split(c: Conversion) -> tuple[Value, ...]:
    return _split(c, c.fixed_integers(1, "split"))


def _split(c: Conversion, sizes: tuple[int, ...] | None) -> tuple[Value, ...]:
    """Without sizes, equal parts; from opset 18 on the last may be smaller."""
    x = c.operand(0)
    axis = c.axis(c.integer("axis"), c.rank(x))
    if sizes is None:
        count = c.integer("num_outputs", c.output_count)
        if count != c.output_count:
            raise Refusal(f"num_outputs={count}, but it has {c.output_count} outputs")
        length = c.shape(x)[axis]
        if not isinstance(length, int):
            raise Unknown("without sizes it needs the shape of its input: give the shapes of the graph's inputs")
        part = -(-length // count)
        sizes = tuple(max(min(part, length - i * part), 0) for i in range(count))
        if (c.opset < 18 and len(set(sizes)) > 1) or (length and part * (count - 1) >= length):
            raise Refusal(f"dimension {axis} of size {length} cannot be split into {count} parts of the same size")
    if len(sizes) < c.output_count or min(sizes) < 0:
        raise Refusal(f"sizes {list(sizes)} for {c.output_count} outputs")
    return c.results("split", x, axis=axis, sizes=sizes)


@FAMILY.op("Expand")
def expand(c: Conversion) -> Value:
    x, shape = c.operand(0), c.operand(1)
    if shape.array is not None:
        return c.op("expand", x, shape=tuple(map(int, shape.array)))
    return c.op("dynamic_expand", x, shape)


@FAMILY.op("Tile")
def tile(c: Conversion) -> Value:
    x, repeats = c.operand(0), c.operand(1)
    if repeats.array is not None:
        return c.op("tile", x, repeats=tuple(map(int, repeats.array)))
    return c.op("dynamic_tile", x, repeats)


@FAMILY.op("DepthToSpace")
def depth_to_space(c: Conversion) -> Value:
    image = c.image(c.operand(0), 2)
    result = c.op("depth_to_space", image, block=c.integer("blocksize"), mode=c.text("mode", "DCR"))
    return c.from_image(result, 2)


@FAMILY.op("SpaceToDepth", mode=("DCR",))
def space_to_depth(c: Conversion) -> Value:
    return c.from_image(c.op("space_to_depth", c.image(c.operand(0), 2), block=c.integer("blocksize")), 2)
