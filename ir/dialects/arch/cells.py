"""Cells: hidden states combined pairwise inside, stacked outside (NASNet §2, §3; facts by the released code)."""

from __future__ import annotations

from nascompiler.ir.attributes import integer, integers, string, symbol
from nascompiler.ir.dialects.arch.definition import architecture_op
from nascompiler.ir.ops import Operand

CELL_OPS = (
    "identity",
    "conv1x3_3x1",
    "conv1x7_7x1",
    "dilated3",
    "average3",
    "max3",
    "max5",
    "max7",
    "conv1",
    "conv3",
    "separable3",
    "separable5",
    "separable7",
)
"""The 13 operations of NASNet's space (§2), in the paper's order."""

CURRENT, PREVIOUS = Operand("current"), Operand("previous", optional=True)

architecture_op(
    "combine",
    "Inside a cell: a new hidden state from two of the states so far, `left` and `right` being their indices.",
    Operand("states", variadic=True),
    attributes=(
        integer("left", minimum=0),
        string("left_op", among=CELL_OPS),
        integer("right", minimum=0),
        string("right_op", among=CELL_OPS),
        string("combiner", "add", among=("add", "concat")),
    ),
)

architecture_op(
    "concat",
    "Inside a cell: its output, the concatenation of the states that `mask` lists, ascending; an empty mask means all "
    "states that no block has used (the paper's rule for sampled cells).",
    Operand("states", variadic=True),
    attributes=(integers("mask", (), minimum=0),),
)

architecture_op(
    "cell",
    "One application of a cell to the current and the previous output (none: the current one, unprojected); with "
    "stride 2 the operations on these two halve height and width.",
    CURRENT,
    PREVIOUS,
    attributes=(symbol("cell"), integer("filters", minimum=1), integer("stride", 1, minimum=1)),
)

architecture_op(
    "stack",
    "`repeats` applications of a cell, each to the two last outputs; results: the last output and the one before it.",
    CURRENT,
    PREVIOUS,
    attributes=(symbol("cell"), integer("filters", minimum=1), integer("repeats", minimum=1)),
    results=2,
)
