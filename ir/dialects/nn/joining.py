"""Joining, splitting and repeating tensors, and trading channels for pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nascompiler.ir.attributes import Attribute, integer, integers, string
from nascompiler.ir.dialects.nn.inference import axis_index, dims, divided, moved, scaled, shape_text, unify
from nascompiler.ir.ops import InferenceError, OpDef, Operand, Trait, register_op
from nascompiler.ir.types import Array, TensorType

_STRUCTURAL = frozenset({Trait.STRUCTURAL})


def _infer_concat(*xs: TensorType, axis: int) -> TensorType:
    if not xs:
        raise InferenceError("no operands; at least one is needed")
    shape = list(dims(xs[0]))
    along = axis_index(axis, len(shape))
    shapes = ", ".join(shape_text(dims(x)) for x in xs)
    for x in xs[1:]:
        if x.dtype != xs[0].dtype:
            raise InferenceError(f"operands are {xs[0].dtype} and {x.dtype}; all must have the same element type")
        if len(dims(x)) != len(shape):
            raise InferenceError(f"operands have shapes {shapes}; all must have the same number of dimensions")
        for i, (a, b) in enumerate(zip(shape, dims(x), strict=True)):
            joined = (a + b if isinstance(a, int) and isinstance(b, int) else None) if i == along else unify(a, b)
            if joined is False:
                raise InferenceError(f"operands have shapes {shapes}; all but axis {axis} must be equal")
            shape[i] = joined
    alike = all(x.quantization == xs[0].quantization for x in xs)
    return moved(xs[0], shape) if alike else TensorType(tuple(shape), xs[0].dtype)


def _concat(*xs: Array, axis: int) -> Array:
    return np.concatenate(xs, axis)


register_op(
    OpDef(
        name="nn.concat",
        summary="The operands one after the other along `axis`.",
        operands=(Operand("xs", variadic=True),),
        attributes=(integer("axis"),),
        infer=_infer_concat,
        evaluate=_concat,
        traits=_STRUCTURAL,
    )
)


def _infer_split(x: TensorType, *, axis: int, sizes: tuple[int, ...]) -> tuple[TensorType, ...]:
    along = axis_index(axis, len(dims(x)))
    size = dims(x)[along]
    if not sizes:
        raise InferenceError("sizes is empty; at least one part is needed")
    if isinstance(size, int) and size != sum(sizes):
        raise InferenceError(
            f"sizes {list(sizes)} add up to {sum(sizes)}; dimension {axis} of x {shape_text(dims(x))} is {size}"
        )
    return tuple(moved(x, (*dims(x)[:along], part, *dims(x)[along + 1 :])) for part in sizes)


def _split(x: Array, *, axis: int, sizes: tuple[int, ...]) -> tuple[Array, ...]:
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def _split_count(attributes: Mapping[str, Attribute]) -> int:
    sizes = attributes["sizes"]
    if not isinstance(sizes, tuple):
        raise InferenceError(
            f"nn.split: sizes {sizes} is open as a whole; its entries may be choices, not their number"
        )
    return len(sizes)


register_op(
    OpDef(
        name="nn.split",
        summary="Consecutive parts of x along `axis`, of the given `sizes`.",
        operands=(Operand("x"),),
        attributes=(integer("axis"), integers("sizes", minimum=0)),
        results=_split_count,
        infer=_infer_split,
        evaluate=_split,
        traits=_STRUCTURAL,
    )
)


def _infer_tile(x: TensorType, *, repeats: tuple[int, ...]) -> TensorType:
    if len(repeats) != len(dims(x)):
        raise InferenceError(
            f"repeats {list(repeats)} must have one entry for each dimension of x {shape_text(dims(x))}"
        )
    return moved(x, [scaled(d, count) for d, count in zip(dims(x), repeats, strict=True)])


register_op(
    OpDef(
        name="nn.tile",
        summary="x repeated repeats[i] times along each axis i.",
        operands=(Operand("x"),),
        attributes=(integers("repeats", minimum=0),),
        infer=_infer_tile,
        evaluate=lambda x, *, repeats: np.tile(x, repeats),
        traits=_STRUCTURAL,
    )
)


def _infer_depth_to_space(x: TensorType, *, block: int, mode: str) -> TensorType:
    batch, height, width, channels = dims(x)
    depth = divided("the channel count of x", channels, block * block, f"block {block} squared")
    return moved(x, (batch, scaled(height, block), scaled(width, block), depth))


def _depth_to_space(x: Array, *, block: int, mode: str) -> Array:
    batch, height, width, channels = x.shape
    depth = channels // block**2
    if mode == "DCR":
        blocks = x.reshape(batch, height, width, block, block, depth).transpose(0, 1, 3, 2, 4, 5)
    else:
        blocks = x.reshape(batch, height, width, depth, block, block).transpose(0, 1, 4, 2, 5, 3)
    return blocks.reshape(batch, height * block, width * block, depth)


register_op(
    OpDef(
        name="nn.depth_to_space",
        summary=(
            "Channels of x [N, H, W, C] spread over blocks of pixels -> [N, H * block, W * block, C / block^2]; in "
            "`mode` DCR the block position is the outer part of the channel index, in CRD the inner (as in ONNX)."
        ),
        operands=(Operand("x", rank=4),),
        attributes=(integer("block", minimum=1), string("mode", "DCR", among=("DCR", "CRD"))),
        infer=_infer_depth_to_space,
        evaluate=_depth_to_space,
        traits=_STRUCTURAL,
    )
)


def _infer_space_to_depth(x: TensorType, *, block: int) -> TensorType:
    batch, height, width, channels = dims(x)
    return moved(
        x,
        (
            batch,
            divided("the height of x", height, block, "block"),
            divided("the width of x", width, block, "block"),
            scaled(channels, block * block),
        ),
    )


def _space_to_depth(x: Array, *, block: int) -> Array:
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // block, block, width // block, block, channels).transpose(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, height // block, width // block, channels * block**2)


register_op(
    OpDef(
        name="nn.space_to_depth",
        summary=(
            "Blocks of pixels of x [N, H, W, C] gathered into channels -> [N, H / block, W / block, C * block^2], the "
            "block position the outer part of the channel index (as ONNX SpaceToDepth)."
        ),
        operands=(Operand("x", rank=4),),
        attributes=(integer("block", minimum=1),),
        infer=_infer_space_to_depth,
        evaluate=_space_to_depth,
        traits=_STRUCTURAL,
    )
)
