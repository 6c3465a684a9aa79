"""Which float ops have an integer form, and of what kind."""

from __future__ import annotations

from enum import Enum

import numpy as np

from nascompiler.ir import DType, Node, Trait, Value
from nascompiler.passes.infrastructure.patterns import has_fused_activation


class Form(Enum):
    """How an op is computed on integers."""

    SUM = "sums of products, rounded once at the end; the result may also stay in float"
    ARITHMETIC = "float32 steps on integers, rounded at the end"
    LOOKUP = "a table with an entry for each integer"
    PASSIVE = "the same op on integers: it only moves or selects, so operands and results share one scale"


_SUMS = ("nn.conv2d", "nn.conv2d_transpose", "nn.linear", "nn.matmul")
_ARITHMETIC = ("nn.add", "nn.mul", "nn.average_pool2d", "nn.global_average_pool")
_SELECTING = ("nn.max_pool2d", "nn.global_max_pool")

CLAMPS = ("nn.relu", "nn.relu6")
GATES = ("nn.hard_swish", "nn.hard_sigmoid")


def form_of(node: Node) -> Form | str:
    """The form of a node, or why it has none."""
    name = node.op.name
    if any(not v.type.is_static for v in (*node.operands, *node.results)):
        return "its sizes are not known"
    if any(v.type.dtype is not DType.F32 for v in node.results):
        return f"it computes {node.results[0].type.dtype}, not f32"
    if has_fused_activation(node):
        return "its activation is fused: prepare the graph first"
    if name in _SUMS:
        return _sum(node)
    if name in _ARITHMETIC or (name == "nn.resize" and node["mode"] == "linear"):
        return Form.ARITHMETIC
    if name in _SELECTING or name == "nn.resize" or node.op.has(Trait.STRUCTURAL):
        return _passive(node)
    if _is_function(node):
        return Form.LOOKUP
    return f"{name} has no integer form"


def _sum(node: Node) -> Form | str:
    if node.op.name == "nn.matmul":
        if any(v.is_constant for v in node.operands):
            return "its constant operand is no weight matrix"
        return Form.SUM
    for value, what in zip(node.operands[1:], ("weights are", "bias is"), strict=False):
        if not _is_weight(value):
            return f"its {what} computed"
    return Form.SUM


def _is_weight(value: Value) -> bool:
    """Whether a value is a constant, or one that was quantised and dequantised."""
    while not value.is_constant and value.producer is not None and value.producer.op.dialect == "qnn":
        value = value.producer.operands[0]
    return value.is_constant


def _passive(node: Node) -> Form | str:
    if any(v.is_constant and v.type.dtype.is_float for v in node.operands):
        return "a part of it is constant"
    if node.op.name == "nn.pad" and node["mode"] == "constant" and node["value"] != 0:
        return f"it pads with {node['value']:g}; accepted: 0"
    return Form.PASSIVE


def _is_function(node: Node) -> bool:
    """Whether the op is a function of one number, with numbers as its only attributes."""
    return (
        len(node.operands) == 1
        and node.op.has(Trait.ELEMENTWISE)
        and not node.op.has(Trait.IDENTITY)
        and node.op.evaluate is not None
        and node.operands[0].type.dtype is DType.F32
        and all(isinstance(v, float) for v in node.attributes.values() if v != "none")
    )


def activations(node: Node) -> list[Value]:
    """The operands of a node that are activations: all that are float, without weights and biases."""
    if node.op.name in _SUMS and node.op.name != "nn.matmul" and form_of(node) is Form.SUM:
        return [node.operands[0]]
    return [v for v in node.operands if v.type.dtype is DType.F32]


def parameters_of(node: Node) -> tuple[float, ...]:
    """The number attributes of a function, in declared order."""
    return tuple(float(v) for v in node.attributes.values() if isinstance(v, float))


def absorbs(node: Node, *, tables: bool) -> Node | None:
    """The activation behind a node that the node applies before it rounds: the only user of its result.

    With `tables`, functions other than clamps are tables of their own behind a rounding.
    """
    user = node.results[0].sole_user if len(node.results) == 1 else None
    if user is None or user.op.name not in (*CLAMPS, *GATES):
        return None
    if user.op.name in CLAMPS and node.op.name in ("nn.add", "nn.mul"):
        return user
    if node.op.name not in _SUMS or form_of(node) is not Form.SUM:
        return None
    if user.op.name in CLAMPS:
        return user
    return user if node.op.name != "nn.matmul" and not tables and is_epilogue(user) else None


def is_epilogue(node: Node) -> bool:
    """Whether a node is an activation that a sum can apply: a clamp, hard_swish, or the hard_sigmoid of MobileNetV3,
    with slope 1/6 and offset 1/2 in float32.
    """
    if node.op.name != "nn.hard_sigmoid":
        return node.op.name in (*CLAMPS, *GATES)
    given = np.array([node["alpha"], node["beta"]], np.float32)
    return bool((given == np.array([1 / 6, 0.5], np.float32)).all())
