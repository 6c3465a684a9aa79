"""The numbers that go with a step: weights as signed bytes, biases with the zero points folded in, multipliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.compiler.work import SumWork
from nascompiler.backends.tpu.isa import ElementType, Function
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.graph import Node
from nascompiler.ir.types import DType

ELEMENT_TYPES = {
    DType.I8: ElementType.I8,
    DType.U8: ElementType.U8,
    DType.I16: ElementType.I16,
    DType.U16: ElementType.U16,
    DType.F32: ElementType.F32,
}

_FUNCTIONS = {
    "none": Function.LINEAR,
    "relu": Function.RELU,
    "relu6": Function.RELU6,
    "hard_swish": Function.HARD_SWISH,
    "hard_sigmoid": Function.HARD_SIGMOID,
}


@dataclass(frozen=True)
class Finish:
    """How a sum becomes a result: the function in float32, then rounding, clamping and, maybe, a table."""

    function: Function
    inverse_scale: float
    zero_point: int
    low: int
    high: int
    value_type: ElementType
    out_type: ElementType
    table: Node | None = None


def finish_of(node: Node, lookup: Node | None = None) -> Finish:
    """How the result of a node that rounds is rounded, and where it is looked up."""
    dtype = node.result.type.dtype
    activation = str(node.attributes.get("activation", "none"))
    out = dtype if lookup is None else lookup.result.type.dtype
    value_type, out_type = ELEMENT_TYPES[dtype], ELEMENT_TYPES[out]
    if dtype.is_float:
        return Finish(_FUNCTIONS[activation], 0.0, 0, 0, 0, ElementType.I8, out_type)  # no rounding, no value type
    scale, zero_point = node["scale"], node["zero_point"]
    low, high = arithmetic.clamp_limits(dtype, activation, scale, zero_point)
    function, inverse = Function.LINEAR, 0.0
    if activation in ("hard_swish", "hard_sigmoid"):
        function, inverse = _FUNCTIONS[activation], float(arithmetic.ratio(1, scale))
    return Finish(function, inverse, zero_point, low, high, value_type, out_type, lookup)


def table_of(lookup: Node) -> NDArray[Any]:
    """The entries of a table, in order of the unsigned distance from the least integer."""
    array = lookup.operands[1].array
    assert array is not None
    return np.ascontiguousarray(array)


Weights = NDArray[np.int8] | NDArray[np.int16]
"""The weights of a layer: bytes, or 16 bits in the modes of half and quarter speed."""


def weights_of(work: SumWork) -> Weights:
    """The weights [kernel height, kernel width, channels of a group, features] less their zero point."""
    node = work.node
    array = node.operands[1].array
    assert array is not None
    shifted = array if not node["weight_zero_point"] else array.astype(np.int32) - node["weight_zero_point"]
    made: Weights = np.ascontiguousarray(shifted.astype(np.int16 if work.weight_element == 2 else np.int8))
    return made.reshape(*work.window.kernel, work.group_channels, -1)


def bias_of(work: SumWork, weights: Weights) -> NDArray[np.int32]:
    """The biases with what the zero point of x takes off every sum; sums may wrap around, the final ones fit."""
    node = work.node
    sums = weights.reshape(-1, weights.shape[-1]).sum(axis=0, dtype=np.int64)
    folded: NDArray[np.int64] = -np.int64(node["x_zero_point"]) * sums
    if len(node.operands) > 3:
        bias = node.operands[3].array
        assert bias is not None
        folded = folded + bias.astype(np.int64)
    wrapped: NDArray[np.int32] = folded.astype(np.uint64).astype(np.uint32).view(np.int32)
    return wrapped


def multipliers_of(work: SumWork) -> NDArray[np.float32]:
    """What each channel's sum is multiplied by."""
    node = work.node
    scale = node.operands[2].array
    assert scale is not None
    weight_scale = np.asarray(scale, np.float32)
    activation, dtype = node["activation"], node.result.type.dtype
    if dtype.is_float or activation in ("hard_swish", "hard_sigmoid"):
        found = np.multiply(weight_scale, np.float32(node["x_scale"]))
    else:
        found = arithmetic.multipliers(node["x_scale"], weight_scale, node["scale"])
    return np.broadcast_to(found, (work.write.geometry.channels,)).astype(np.float32)
