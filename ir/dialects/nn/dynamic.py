"""Ops that take as operands what their static forms have as attributes, as models come from ONNX.

Once those operands are constants, inference is that of the static form, and `OpDef.static_attributes` gives the
attributes of the node that a pass puts in place; until then the sizes concerned are open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nascompiler.ir.attributes import AttributeDef, boolean, number, string
from nascompiler.ir.dialects.nn.indexing import PAD_MODES
from nascompiler.ir.dialects.nn.inference import Shape, axis_indices, dims, moved, require_dim, shape_text
from nascompiler.ir.dialects.nn.resize import RESIZE_ATTRIBUTES, scaled_size
from nascompiler.ir.dialects.nn.shape import resolve_reshape
from nascompiler.ir.dialects.nn.shape_values import shape_from
from nascompiler.ir.ops import OPS, InferenceError, OpDef, Operand, Trait, floats, indices, numbers, register_op
from nascompiler.ir.types import Array, Dim, TensorType

OpenShape = Callable[..., Shape | None]
"""The shape of the result while operands are not constant: (x, *operands, *, constants, ...) -> shape."""


def _dynamic(
    name: str,
    summary: str,
    static: str,
    operands: tuple[Operand, ...],
    renamed: Mapping[str, str],
    open_shape: OpenShape,
    *,
    attributes: tuple[AttributeDef, ...] = (),
    to_static: Callable[..., Mapping[str, Any] | None] | None = None,
) -> None:
    def infer(*types: TensorType, constants: tuple[Array | None, ...], **given: Any) -> TensorType:
        found = op.static_attributes(types, constants, given)
        if found is None:
            shape = open_shape(*types, constants=constants, **given)
            return TensorType(None, types[0].dtype) if shape is None else moved(types[0], shape)
        inferred = OPS[static].infer(types[0], **found)
        assert isinstance(inferred, TensorType)
        return inferred

    def evaluate(*arrays: Array, **given: Any) -> Any:
        types = [None if a is None else TensorType.of(a) for a in arrays]
        found = op.static_attributes(types, arrays, given)
        evaluate_static = OPS[static].evaluate
        assert found is not None
        assert evaluate_static is not None
        return evaluate_static(arrays[0], **found)

    op = register_op(
        OpDef(
            name=f"nn.{name}",
            summary=summary,
            operands=operands,
            attributes=attributes,
            infer=infer,
            infer_uses_constants=True,
            evaluate=evaluate,
            traits=frozenset({Trait.DYNAMIC}),
            static_form=(static, renamed),
            to_static=to_static,
        )
    )


def _copied(x: TensorType, shape: Array, allow_zero: bool) -> Shape:
    """The shape wanted, its zeros replaced by the dimensions of `x` unless they are meant."""
    wanted: list[Dim] = shape.tolist()
    if not allow_zero:
        for axis, size in enumerate(wanted):
            if size == 0 and axis >= len(dims(x)):
                raise InferenceError(f"shape {wanted} copies dimension {axis}, which x {shape_text(dims(x))} lacks")
            wanted[axis] = dims(x)[axis] if size == 0 else size
    return tuple(wanted)


def _open_reshape(
    x: TensorType, shape: TensorType, *, allow_zero: bool, constants: tuple[Array | None, ...]
) -> Shape | None:
    if constants[1] is None:
        return shape_from(shape, None).shape
    return resolve_reshape(dims(x), _copied(x, constants[1], allow_zero))


def _static_reshape(x: TensorType, shape: Array, *, allow_zero: bool) -> Mapping[str, Any] | None:
    wanted = resolve_reshape(dims(x), _copied(x, shape, allow_zero))
    open_axes = [axis for axis, size in enumerate(wanted) if not isinstance(size, int)]
    if len(open_axes) > 1:
        return None
    return {"shape": tuple(-1 if axis in open_axes else size for axis, size in enumerate(wanted))}


_dynamic(
    "dynamic_reshape",
    "x in the given shape (1-D): one -1 is inferred, a 0 copies the dimension of x unless `allow_zero`.",
    "nn.reshape",
    (Operand("x"), indices("shape", rank=1)),
    {"shape": "shape"},
    _open_reshape,
    attributes=(boolean("allow_zero", False),),
    to_static=_static_reshape,
)


def _slice_axes(x: TensorType, starts: TensorType | None, axes: Array | None) -> tuple[int, ...] | None:
    if axes is not None:
        return axis_indices(axes.tolist(), len(dims(x)))
    count = None if starts is None else dims(starts)[0]
    return tuple(range(count)) if isinstance(count, int) else None


def _open_slice(
    x: TensorType,
    starts: TensorType,
    ends: TensorType,
    axes: TensorType | None,
    steps: TensorType | None,
    *,
    constants: tuple[Array | None, ...],
) -> Shape:
    known = axes is None or constants[3] is not None
    cut = _slice_axes(x, starts, constants[3]) if known else None
    return tuple(None if cut is None or axis in cut else size for axis, size in enumerate(dims(x)))


def _static_slice(
    x: TensorType, starts: Array, ends: Array, axes: Array | None, steps: Array | None
) -> Mapping[str, Any]:
    return {
        "starts": starts.tolist(),
        "ends": ends.tolist(),
        "axes": _slice_axes(x, TensorType.of(starts), axes),
        "steps": [1] * len(starts) if steps is None else steps.tolist(),
    }


_dynamic(
    "dynamic_slice",
    "x[start:end:step] along each of the axes; without axes along the first ones, without steps by 1 (all 1-D).",
    "nn.slice",
    (
        Operand("x"),
        indices("starts", rank=1),
        indices("ends", rank=1),
        indices("axes", rank=1, optional=True),
        indices("steps", rank=1, optional=True),
    ),
    {"starts": "starts", "ends": "ends", "axes": "axes", "steps": "steps"},
    _open_slice,
    to_static=_static_slice,
)


def _open_expand(x: TensorType, shape: TensorType, *, constants: tuple[Array | None, ...]) -> Shape | None:
    rank = dims(shape)[0]
    if not isinstance(rank, int):
        return None
    aligned = (1,) * (rank - len(dims(x))) + dims(x)
    return tuple(d if isinstance(d, int) and d != 1 else None for d in aligned)


_dynamic(
    "dynamic_expand",
    "x broadcast with the given shape (1-D), both ways.",
    "nn.expand",
    (Operand("x"), indices("shape", rank=1)),
    {"shape": "shape"},
    _open_expand,
)


def _open_tile(x: TensorType, repeats: TensorType, *, constants: tuple[Array | None, ...]) -> Shape:
    require_dim("repeats", 0, repeats, len(dims(x)), "one for each dimension of x")
    return tuple(0 if d == 0 else None for d in dims(x))


_dynamic(
    "dynamic_tile",
    "x repeated repeats[i] times along each axis i.",
    "nn.tile",
    (Operand("x"), indices("repeats", rank=1)),
    {"repeats": "repeats"},
    _open_tile,
)


def _open_pad(
    x: TensorType, pads: TensorType, *, mode: str, value: float, constants: tuple[Array | None, ...]
) -> Shape:
    require_dim("pads", 0, pads, 2 * len(dims(x)), "two for each dimension of x")
    return (None,) * len(dims(x))


def _static_pad(x: TensorType, pads: Array, *, mode: str, value: float) -> Mapping[str, Any]:
    rank = len(dims(x))
    if len(pads) != 2 * rank:
        raise InferenceError(f"pads has {len(pads)} entries; x {shape_text(dims(x))} needs {2 * rank}")
    return {"before": pads[:rank].tolist(), "after": pads[rank:].tolist(), "mode": mode, "value": value}


_dynamic(
    "dynamic_pad",
    "x padded as nn.pad does; pads [2 * rank] are the counts before each axis, then those after each.",
    "nn.pad",
    (Operand("x"), indices("pads", rank=1)),
    {"pads": "before and after"},
    _open_pad,
    attributes=(string("mode", "constant", among=PAD_MODES), number("value", 0.0)),
    to_static=_static_pad,
)


def _open_resize(x: TensorType, target: TensorType, *, constants: tuple[Array | None, ...], **how: str) -> Shape:
    require_dim("sizes or scales", 0, target, 2, "height and width")
    return (dims(x)[0], None, None, dims(x)[3])


_dynamic(
    "dynamic_resize",
    "x [N, H, W, C] resized to sizes (2): height and width.",
    "nn.resize",
    (numbers("x", rank=4), indices("sizes", rank=1)),
    {"sizes": "size"},
    _open_resize,
    attributes=RESIZE_ATTRIBUTES,
)


def _static_resize_scales(x: TensorType, scales: Array, **how: str) -> Mapping[str, Any] | None:
    if len(scales) != 2 or not np.all(np.greater(scales, 0)):
        raise InferenceError(f"scales are {scales.tolist()}; accepted: 2 numbers > 0, for height and width")
    _, height, width, _ = dims(x)
    if not isinstance(height, int) or not isinstance(width, int):
        return None
    down, across = (float(scale) for scale in scales.tolist())
    return {"size": (scaled_size(height, down), scaled_size(width, across)), "scales": (down, across), **how}


_dynamic(
    "dynamic_resize_scales",
    "x [N, H, W, C] resized by scales (2) of height and width; the products round down.",
    "nn.resize",
    (numbers("x", rank=4), floats("scales", rank=1)),
    {"scales": "scales"},
    _open_resize,
    attributes=RESIZE_ATTRIBUTES,
    to_static=_static_resize_scales,
)
