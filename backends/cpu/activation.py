"""Activations that kernels apply to their results while these are still in registers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Node, Value

ACTIVATIONS: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "relu": (),
    "clip": ("min", "max"),
    "leaky_relu": ("alpha",),
    "sigmoid": (),
    "tanh": (),
    "hard_sigmoid": ("alpha", "beta"),
    "hard_swish": (),
    "swish": (),
}
"""The nn op of each activation, and which of its attributes are its parameters, in order."""


def activation_of(node: Node) -> tuple[str, tuple[float, ...]] | None:
    """Name and parameters of the activation that a node is, or None when it is none."""
    dialect, _, name = node.op.name.partition(".")
    if dialect != "nn":
        return None
    if name == "relu6":
        return "clip", (0.0, 6.0)
    if name not in ACTIVATIONS:
        return None
    return name, tuple(float(node[parameter]) for parameter in ACTIVATIONS[name])


def apply_activation(builder: Builder, x: Value, name: str, parameters: tuple[float, ...]) -> Value:
    """The nodes that define an activation."""
    if name == "none":
        return x
    attributes: dict[str, Any] = dict(zip(ACTIVATIONS[name], parameters, strict=True))
    result: Value = builder.op(f"nn.{name}", x, **attributes)
    return result
