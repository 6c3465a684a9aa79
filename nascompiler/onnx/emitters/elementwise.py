"""Elementwise ops: they follow the layout in which their operands exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nascompiler.ir.graph import Node
from nascompiler.onnx.emission import Emitter
from nascompiler.onnx.emitters.registry import Emit, EmitTable
from nascompiler.onnx.errors import Refusal
from nascompiler.onnx.tensors import ELEMENT_TYPES

Body = Callable[[Emitter, Node, list[str], str], str]
"""Adds the nodes for operands by name (in one layout) and returns the result's name; the last argument is a hint."""


def follow(body: Body) -> Emit:
    """An op in whatever layout its operands have."""

    def emit(e: Emitter, node: Node) -> None:
        first = node.result.type.rank == 4 and e.prefers_first(node.operands)
        names = [e.broadcastable(v, channels_first=first) for v in node.operands]
        e.set_form(node.result, body(e, node, names, node.result.name), channels_first=first)

    return emit


def _same(operator: str, *attributes: str) -> Emit:
    """One ONNX operator with the same operands and, of the same names, the attributes."""

    def body(e: Emitter, node: Node, names: list[str], hint: str) -> str:
        return e.node(operator, *names, hint=hint, **{name: node[name] for name in attributes})

    return follow(body)


def _clip(e: Emitter, node: Node, names: list[str], hint: str) -> str:
    low, high = (0.0, 6.0) if node.op.name == "nn.relu6" else (node["min"], node["max"])
    return e.node("Clip", *names, *clip_bounds(e, low, high, node.operands[0].type.dtype.numpy), hint=hint)


def clip_bounds(e: Emitter, low: float, high: float, dtype: np.dtype[Any]) -> list[str]:
    """The inputs min and max of Clip; on integers the bounds round inwards."""
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        low = int(max(min(np.ceil(low), limits.max), limits.min)) if np.isfinite(low) else limits.min
        high = int(max(min(np.floor(high), limits.max), limits.min)) if np.isfinite(high) else limits.max
    names = [e.constant(np.array(low, dtype)) if low != -np.inf else ""]
    return [*names, e.constant(np.array(high, dtype))] if high != np.inf else [n for n in names if n]


def _swish(e: Emitter, node: Node, names: list[str], hint: str) -> str:
    return e.node("Mul", *names, e.node("Sigmoid", *names), hint=hint)


def _cast(e: Emitter, node: Node, names: list[str], hint: str) -> str:
    return e.node("Cast", *names, hint=hint, to=ELEMENT_TYPES[node["to"]])


def _mod(e: Emitter, node: Node, names: list[str], hint: str) -> str:
    if not node["fmod"] and node.operands[0].type.dtype.is_float:
        raise Refusal("mod on floating-point numbers; ONNX has only fmod")
    return e.node("Mod", *names, hint=hint, fmod=int(node["fmod"]))


def _identity(e: Emitter, node: Node) -> None:
    e.alias(node.result, node.operands[0])


_PLAIN = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "minimum": "Min",
    "maximum": "Max",
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "exp": "Exp",
    "log": "Log",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "erf": "Erf",
    "reciprocal": "Reciprocal",
    "equal": "Equal",
    "less": "Less",
    "greater": "Greater",
    "less_equal": "LessOrEqual",
    "greater_equal": "GreaterOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "logical_not": "Not",
    "where": "Where",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "hard_swish": "HardSwish",
    "prelu": "PRelu",
}

EMITTERS: EmitTable = {
    **{f"nn.{op}": _same(operator) for op, operator in _PLAIN.items()},
    "nn.hard_sigmoid": _same("HardSigmoid", "alpha", "beta"),
    "nn.leaky_relu": _same("LeakyRelu", "alpha"),
    "nn.elu": _same("Elu", "alpha"),
    "nn.relu6": follow(_clip),
    "nn.clip": follow(_clip),
    "nn.swish": follow(_swish),
    "nn.cast": follow(_cast),
    "nn.mod": follow(_mod),
    "nn.identity": _identity,
    "nn.dropout": _identity,
    "nn.drop_path": _identity,
}
