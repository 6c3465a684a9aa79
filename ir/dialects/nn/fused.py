"""The activation that an op applies to its own result, so that a backend need not store the result in between."""

from __future__ import annotations

from nascompiler.ir.attributes import string
from nascompiler.ir.ops import OPS
from nascompiler.ir.types import Array

FUSIBLE_ACTIVATIONS = ("relu", "relu6", "hard_swish", "hard_sigmoid", "sigmoid", "tanh", "swish")
"""Activation ops without parameters; hard_sigmoid is the one of MobileNetV3, with slope 1/6 and offset 1/2."""

ACTIVATION = string("activation", "none", among=("none", *FUSIBLE_ACTIVATIONS))


def activate(x: Array, activation: str) -> Array:
    """x through `nn.<activation>` with its default attributes, bit for bit as that op computes it."""
    if activation == "none":
        return x
    op = OPS[f"nn.{activation}"]
    assert op.evaluate is not None
    result: Array = op.evaluate(x, **op.complete_attributes({}))
    return result
