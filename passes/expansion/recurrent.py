"""LSTM layers, one after the other, with their states kept from call to call where asked for."""

from __future__ import annotations

from nascompiler.ir import ModelError, Node, Value
from nascompiler.passes.expansion.context import Expansion, channels_of


def expand_lstm(expansion: Expansion, node: Node, x: Value, state: Value | None) -> Value | tuple[Value, Value]:
    """x [T, N, I] -> [T, N, units]; with a state [2 * repeats, N, units] also that after the last step.

    The state has h and c of each layer in turn; without one, both start at zero. `residual` adds what a layer takes to
    what it gives, where both are equally wide (Wu et al., arXiv:1609.08144, §3.1).
    """
    if x.type.rank != 3:
        raise ModelError(f"{x!r} is no sequence; expected [time, batch, features]")
    before = _states(expansion, node, x, state)
    after: list[Value] = []
    for index in range(node["repeats"]):
        name = "lstm" if node["repeats"] == 1 else f"{index + 1}.lstm"
        h, c = before[2 * index : 2 * index + 2]
        y, *last = _lstm(expansion, x, h, c, node["units"], name)
        after += last
        if node["residual"]:
            if channels_of(x) != node["units"]:
                raise ModelError(
                    f"residual adds {channels_of(x)} features to {node['units']} units; accepted: equal numbers"
                )
            y = expansion.nn.add(x, y, name=expansion.named(f"{name}.residual"))
        x = y
    if not node["stateful"]:
        return x
    parts = [expansion.nn.unsqueeze(part, axes=(0,)) for part in after]
    return x, expansion.nn.concat(*parts, axis=0, name=expansion.named("state"))


def _states(expansion: Expansion, node: Node, x: Value, state: Value | None) -> list[Value]:
    """h and c [N, units] of each layer in turn."""
    count, batch = 2 * node["repeats"], x.type.static_shape[1]
    wanted = (count, batch, node["units"])
    if node["stateful"] != (state is not None):
        raise ModelError("stateful goes together with a second operand, the state before the first step")
    if state is None:
        zeros = expansion.weights.zeros(wanted[1:])
        return [expansion.constant(zeros, expansion.named("state"))] * count
    if state.type.shape != wanted:
        raise ModelError(f"the state is {state.type}; accepted: {list(wanted)}, h and c of each layer in turn")
    parts = expansion.nn.split(state, axis=0, sizes=(1,) * count)
    return [expansion.nn.squeeze(part, axes=(0,)) for part in parts]


def _lstm(expansion: Expansion, x: Value, h: Value, c: Value, units: int, name: str) -> tuple[Value, Value, Value]:
    full, inputs, weights = expansion.named(name), channels_of(x), expansion.weights
    constants = {
        "w": weights.kernel(f"{full}.w", (inputs, 4 * units), inputs, gain=1.0),
        "r": weights.kernel(f"{full}.r", (units, 4 * units), units, gain=1.0),
        "b": weights.bias(f"{full}.b", 4 * units),
    }
    operands = [expansion.constant(constant, f"{full}.{part}") for part, constant in constants.items()]
    results: tuple[Value, Value, Value] = expansion.nn.lstm(
        x, h, c, *operands, names=(full, f"{full}.last_h", f"{full}.last_c")
    )
    return results


EXPANDERS = {"arch.lstm": expand_lstm}
