"""LSTM layers."""

from __future__ import annotations

from collections.abc import Mapping

from nascompiler.ir.attributes import Attribute, boolean, integer
from nascompiler.ir.dialects.arch.definition import architecture_op
from nascompiler.ir.ops import Operand


def _results(attributes: Mapping[str, Attribute]) -> int:
    return 2 if attributes["stateful"] else 1


architecture_op(
    "lstm",
    "`repeats` LSTM layers over a sequence [time, batch, features]. `stateful` ones take the state [2 * repeats, "
    "batch, units], h and c of each layer in turn, and give the next one; else it starts at zero. `residual` adds its "
    "input to each layer's output.",
    Operand("x"),
    Operand("state", optional=True),
    attributes=(
        integer("units", minimum=1),
        integer("repeats", 1, minimum=1),
        boolean("residual", False),
        boolean("stateful", False),
    ),
    results=_results,
)
