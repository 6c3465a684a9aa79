"""Turns an LSTM over a sequence into one cell for each step, for backends without loops."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Builder, Value
from nascompiler.passes.infrastructure.base import Exact
from nascompiler.passes.infrastructure.patterns import Match, op
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.infrastructure.rewriter import RewritePass, Rule


def _refuse(match: Match) -> str | None:
    steps = match.root.operands[0].type.shape
    if steps is None or not isinstance(steps[0], int):
        return "the length of the sequence is not known: run fix-shapes first"
    return "the sequence is empty" if steps[0] == 0 else None


def _unroll(match: Match, builder: Builder) -> tuple[Value, ...]:
    x, h, c, *weights = match.root.operands
    nn = builder.nn
    length = x.type.static_shape[0] if x.type.is_static else _length(x)
    parts = nn.split(x, axis=0, sizes=(1,) * length) if length > 1 else (x,)
    states: list[Value] = []
    for part in reversed(parts) if match.root["reverse"] else parts:
        h, c = nn.lstm_cell(nn.squeeze(part, axes=(0,)), h, c, *weights)
        states.append(h)
    y = match.root.results[0]
    if not y.use_count:
        return y, h, c
    if match.root["reverse"]:
        states.reverse()
    return nn.concat(*(nn.unsqueeze(state, axes=(0,)) for state in states), axis=0), h, c


def _length(x: Value) -> int:
    length = (x.type.shape or ())[0]
    assert isinstance(length, int)
    return length


@register_pass
@dataclass(frozen=True)
class UnrollLstm(RewritePass):
    """Replace `nn.lstm` by an `nn.lstm_cell` for each step of a sequence of known length."""

    requires_level = ("nn", "qnn")
    preserves = Exact()
    rules = (Rule("lstm(x) = concat(lstm_cell(x[0]), lstm_cell(x[1]), ...)", op("nn.lstm"), _unroll, _refuse),)
