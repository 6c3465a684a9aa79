"""LSTM of any number of layers and directions; torch has our gate order."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()


@FAMILY.op("lstm")
def lstm(c: Conversion) -> tuple[Value, ...]:
    """(y, h, c): y [T, N, directions * H] (or batch first), states [layers * directions, N, H]."""
    if not c.has("num_layers"):
        raise Refusal("packed sequences are not supported")
    x, parameters = c.value("input"), c.values("params")
    if c.rank(x) != 3:
        raise Refusal(f"its input has {c.rank(x)} dimensions; accepted: 3, with the batch")
    initial = c.values("hx")
    layers, directions = c.integer("num_layers"), 2 if c.boolean("bidirectional") else 1
    width = 4 if c.boolean("has_biases") else 2
    if len(parameters) != layers * directions * width:
        raise Refusal("projections are not supported")
    batch_first = c.boolean("batch_first")
    y = c.transpose(x, (1, 0, 2)) if batch_first else x
    states: list[list[Value]] = [[], []]
    for layer in range(layers):
        made = []
        for direction in range(directions):
            place = layer * directions + direction
            weights = _weights(c, parameters[place * width : (place + 1) * width])
            given = [_state(c, s, place) for s in initial]
            out, *last = c.results("lstm", y, *given, *weights, reverse=direction == 1)
            made.append(out)
            for kept, state in zip(states, last, strict=True):
                kept.append(c.op("unsqueeze", state, axes=(0,)))
        y = made[0] if directions == 1 else c.op("concat", *made, axis=2)
    hidden, cell = (kept[0] if len(kept) == 1 else c.op("concat", *kept, axis=0) for kept in states)
    return c.transpose(y, (1, 0, 2)) if batch_first else y, hidden, cell


def _weights(c: Conversion, given: list[Value]) -> tuple[Value, Value, Value]:
    """w [I, 4H], r [H, 4H] and the sum of the two biases."""
    w, r = (c.transpose(weight, (1, 0)) for weight in given[:2])
    if len(given) == 2:
        return w, r, c.constant(np.zeros(c.dim(w, 1)), w.type.dtype)
    first, second = given[2:]
    if first.array is not None and second.array is not None:
        return w, r, c.folded(first, np.add(first.array, second.array))
    return w, r, c.op("add", first, second)


def _state(c: Conversion, states: Value, place: int) -> Value:
    if states.array is not None:
        return c.constant(states.array[place])
    part = c.op("slice", states, axes=(0,), starts=(place,), ends=(place + 1,), steps=(1,))
    return c.op("squeeze", part, axes=(0,))
