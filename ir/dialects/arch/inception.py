"""Inception modules as batch-normalised GoogLeNet has them (Ioffe and Szegedy, arXiv:1502.03167, figure 5)."""

from __future__ import annotations

from nascompiler.ir.attributes import integer, integers, string
from nascompiler.ir.dialects.arch.definition import ACTIVATIONS, architecture_op
from nascompiler.ir.ops import Operand

architecture_op(
    "inception",
    "Four branches side by side, joined by their channels: 1x1; 1x1 and 3x3; 1x1 and two 3x3; a pool and 1x1. The "
    "lists give the filters of the 1x1 and of the 3x3 convolutions. With stride 2 there is no first branch, and the "
    "pool has no convolution (both 0).",
    Operand("x"),
    attributes=(
        integer("single", 0, minimum=0),
        integers("triple", length=2, minimum=1),
        integers("double_triple", length=2, minimum=1),
        string("pool", "average", among=("average", "max")),
        integer("projection", 0, minimum=0),
        integer("stride", 1, minimum=1),
        string("activation", "relu", among=ACTIVATIONS),
    ),
)
