"""Which nodes the machine can compute, to the last bit, and why not the others."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from nascompiler.backends.tpu.isa.opcodes import ELEMENTWISE
from nascompiler.backends.tpu.machine import Machine
from nascompiler.ir.graph import Node, Value
from nascompiler.ir.types import DType

BYTES = frozenset({DType.I8, DType.U8})
INTEGERS = BYTES | {DType.I16, DType.U16}

VIEWS = frozenset({"reshape", "flatten", "squeeze", "unsqueeze", "split"})
"""Ops that give memory another shape, and cost nothing."""


def base_name(node: Node) -> str:
    """The name of an op without its dialect."""
    return node.op.name.partition(".")[2]


def refusal(node: Node, machine: Machine) -> str | None:
    """Why the machine does not compute a node, or None when it does."""
    if node.op.dialect not in ("qnn", "nn", "tpu"):
        return f"{node.op.dialect} ops are for the host"
    check = _CHECKS.get(base_name(node))
    if check is None:
        return _without_rule(node)
    if any(v.type.size == 0 for v in (*node.operands, *node.results)):
        return "nothing to compute"
    data = node.operands if base_name(node) in ("add", "mul", "concat") else node.operands[:1]
    if any(v.is_constant for v in data):
        return "it takes a constant where activations are expected, and the Unified Buffer holds none"
    if any(v.type.dtype.is_float for v in data):
        return "it computes in floating point, and the array multiplies integers"
    if any(v.type.dtype not in INTEGERS for v in (*data, *node.results) if v.type.dtype is not DType.F32):
        return f"activations have 8 or 16 bits; these are {data[0].type.dtype}"
    return check(node, machine)


def _without_rule(node: Node) -> str:
    name = node.op.name
    if name in ("qnn.quantize", "qnn.dequantize"):
        return "a conversion between real numbers and integers, which the host makes on the way to and from the machine"
    if any(v.type.dtype.is_float for v in (*node.operands, *node.results)):
        return "it computes in floating point, and the array multiplies integers"
    return f"the machine has no instruction for {name}"


def _sum(node: Node, machine: Machine) -> str | None:
    weight, scale = node.operands[1], node.operands[2]
    if not weight.is_constant or not scale.is_constant or any(not v.is_constant for v in node.operands[3:]):
        return "its weights are computed, and weight memory holds constants"
    zero_point = node["weight_zero_point"]
    if zero_point or not weight.type.dtype.is_signed:
        array = weight.array
        if array is not None and array.size:
            low, high = int(array.min()) - zero_point, int(array.max()) - zero_point
            bits = 8 * weight.type.dtype.bytes
            if low < -(1 << bits - 1) or high >= 1 << bits - 1:
                return f"its weights less their zero point are from {low} to {high}: no signed numbers of {bits} bits"
    return None


def _elementwise(node: Node, machine: Machine) -> str | None:
    if ELEMENTWISE not in machine.extensions:
        return "element-wise arithmetic is an extension that this variant lacks"
    a, b = (v.type.static_shape for v in node.operands)
    if a == b or broadcast_of(node) is not None:
        return None
    return f"operands of shapes {list(a)} and {list(b)}: only one pixel an image can serve all pixels of the other"


def broadcast_of(node: Node) -> int | None:
    """Which operand has one pixel for each image of the other, if one has."""
    a, b = node.operands
    for index, (small, large) in enumerate(((a, b), (b, a))):
        small_shape, large_shape = small.type.static_shape, large.type.static_shape
        if len(large_shape) == 4 and small_shape == (large_shape[0], 1, 1, large_shape[3]):
            return index
    return None


def _lookup(node: Node, machine: Machine) -> str | None:
    if node.operands[0].type.dtype not in BYTES:
        return "a table of 65,536 entries; the activation unit holds tables of 256"
    if not node.operands[1].is_constant:
        return "its table is computed"
    return None


def _always(node: Node, machine: Machine) -> str | None:
    return None


def _concat(node: Node, machine: Machine) -> str | None:
    rank = node.result.type.rank
    if rank is None or node["axis"] % rank != rank - 1:
        return "it joins along another axis than channels"
    return None


def _split(node: Node, machine: Machine) -> str | None:
    rank = node.operands[0].type.rank
    if rank is None or node["axis"] % rank != rank - 1:
        return "it splits along another axis than channels"
    return None


def _slice(node: Node, machine: Machine) -> str | None:
    shape = node.operands[0].type.static_shape
    if any(step < 0 for step in node["steps"]):
        return "it selects backwards"
    cuts = slice_ranges(node)
    if len(shape) != 4 and any(len(cuts[axis]) != size for axis, size in enumerate(shape[:-1])):
        return "it selects along other axes than channels"
    if len(cuts[0]) != shape[0] or cuts[-1].step != 1:
        return "it selects among images, or channels at a distance"
    return None


def _reshape(node: Node, machine: Machine) -> str | None:
    before, after = (v.type.static_shape for v in (node.operands[0], node.result))
    if prod(before) != prod(after):
        return "it does not keep its elements"
    return None


_CHECKS: dict[str, Callable[[Node, Machine], str | None]] = {
    "conv2d": _sum,
    "linear": _sum,
    "add": _elementwise,
    "mul": _elementwise,
    "lookup": _lookup,
    "requantize": _always,
    "average_pool2d": _always,
    "global_average_pool": _always,
    "max_pool2d": _always,
    "concat": _concat,
    "split": _split,
    "slice": _slice,
    "reshape": _reshape,
    "flatten": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
}
SUPPORTED = tuple(_CHECKS)
"""Ops with a rule, by their names without dialect."""


def slice_ranges(node: Node) -> list[range]:
    """The indices that an `nn.slice` keeps along each axis."""
    kept = [range(size) for size in node.operands[0].type.static_shape]
    for axis, start, end, step in zip(node["axes"], node["starts"], node["ends"], node["steps"], strict=True):
        kept[axis] = kept[axis][start:end:step]
    return kept


def activations_of(node: Node) -> tuple[Value, ...]:
    """The operands that are no constants."""
    return tuple(v for v in node.operands if not v.is_constant)
