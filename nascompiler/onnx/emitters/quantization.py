"""QuantizeLinear and DequantizeLinear. Of a constant, the integers are stored in the layout that its users want."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.dialects.qnn.arithmetic import limits
from nascompiler.ir.graph import Node, Value
from nascompiler.ir.types import DType
from nascompiler.onnx.emission import OPSET_OF_16_BITS, Emitter, Permutation
from nascompiler.onnx.emitters.elementwise import clip_bounds, follow
from nascompiler.onnx.emitters.registry import EmitTable
from nascompiler.onnx.errors import Refusal


def quantize(
    e: Emitter, name: str, scale: float, zero_point: int, dtype: DType, hint: str = "", operator: str = "Quantize"
) -> str:
    """A QuantizeLinear (or DequantizeLinear) node with one scale for the whole tensor."""
    if dtype.bytes == 2:
        e.opset = OPSET_OF_16_BITS
    parameters = scalars(e, scale, zero_point, dtype)
    return e.node(f"{operator}Linear", name, *parameters, hint=hint)


def scalars(e: Emitter, scale: float, zero_point: int, dtype: DType) -> tuple[str, str]:
    """The inputs scale and zero point of a quantised operator."""
    return e.constant(np.array(scale, np.float32), "scale"), e.constant(np.array(zero_point, dtype.numpy), "zero_point")


def _quantize(e: Emitter, node: Node, names: list[str], hint: str) -> str:
    return quantize(e, names[0], node["scale"], node["zero_point"], node["dtype"], hint)


def _dequantize(e: Emitter, node: Node) -> None:
    x = node.operands[0]
    if x.is_constant:
        made: dict[Permutation | None, str] = {}

        def make(permutation: Permutation | None) -> str:
            if permutation not in made:
                made[permutation] = _dequantized(e, node, [_integers(e, x, permutation)], node.result.name)
            return made[permutation]

        e.set_parameter(node.result, make)
        return
    follow(_dequantized)(e, node)


def _dequantized(e: Emitter, node: Node, names: list[str], hint: str) -> str:
    dtype = node.operands[0].type.dtype
    return quantize(e, names[0], node["x_scale"], node["x_zero_point"], dtype, hint, "Dequantize")


def _integers(e: Emitter, x: Value, permutation: Permutation | None) -> str:
    return e.plain(x) if permutation is None else e.permuted(x, permutation)


def _dequantize_per_axis(e: Emitter, node: Node) -> None:
    """A parameter: weights are wanted as OIHW."""
    x = node.operands[0]
    made: dict[Permutation | None, str] = {}

    def make(permutation: Permutation | None) -> str:
        if permutation not in made:
            axis = _axis(node, permutation)
            name = _integers(e, x, permutation)
            made[permutation] = _on_axis(e, node, name, axis, x.type.dtype, node["x_zero_point"], "Dequantize")
        return made[permutation]

    e.set_parameter(node.result, make)


def _axis(node: Node, permutation: Permutation | None) -> int:
    rank = node.operands[0].type.rank
    if rank is None:
        raise Refusal("the number of dimensions of its operand is not known")
    axis: int = node["axis"] % rank
    return axis if permutation is None else permutation.index(axis)


def _on_axis(
    e: Emitter, node: Node, name: str, axis: int, dtype: DType, zero_point: int, operator: str, hint: str = ""
) -> str:
    """A node with a scale for each index along an axis, or with one for all."""
    if dtype.bytes == 2:
        e.opset = OPSET_OF_16_BITS
    scale = node.operands[1]
    attributes: dict[str, Any] = {} if scale.type.shape == (1,) else {"axis": axis}
    if not attributes and scale.array is not None:
        scales, count = e.constant(scale.array.reshape(()), "scale"), 0
    elif not scale.type.is_static:
        raise Refusal("the number of its scales is not known")
    else:
        scales, count = e.plain(scale), scale.type.size
    points = np.full((count,) if attributes or scale.array is None else (), zero_point, dtype.numpy)
    # Without a zero point QuantizeLinear makes u8, and DequantizeLinear takes 0: of 32 bits it accepts nothing else.
    given = [] if dtype is DType.I32 else [e.constant(points, "zero_point")]
    return e.node(f"{operator}Linear", name, scales, *given, hint=hint or node.result.name, **attributes)


def _quantize_per_axis(e: Emitter, node: Node) -> None:
    """Computed weights (constants are integers before they get here): symmetric, so -128 is clamped to -127."""
    dtype = node["dtype"]
    if dtype is not DType.I8:
        raise Refusal(f"computed weights quantised to {dtype}; i8 is accepted")
    x = node.operands[0]
    name = _on_axis(e, node, e.plain(x), _axis(node, None), dtype, 0, "Quantize", "weight")
    _, high = limits(dtype)
    e.set_plain(node.result, e.node("Clip", name, *clip_bounds(e, -high, high, dtype.numpy), hint=node.result.name))


EMITTERS: EmitTable = {
    "qnn.quantize": follow(_quantize),
    "qnn.dequantize": _dequantize,
    "qnn.dequantize_per_axis": _dequantize_per_axis,
    "qnn.quantize_per_axis": _quantize_per_axis,
}
