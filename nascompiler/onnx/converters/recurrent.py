"""LSTM: gates from ONNX's order i, o, f, c to ours i, f, g (= c), o."""

from __future__ import annotations

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.converters.registry import Family
from nascompiler.onnx.errors import Refusal, Unknown
from nascompiler.onnx.tensors import MAXIMUM_MADE

FAMILY = Family()
_ORDER = (0, 2, 3, 1)


@FAMILY.op("LSTM", layout=(0,), input_forget=(0,))
def lstm(c: Conversion) -> tuple[Value, ...]:
    """Y [T, directions, N, H], Y_h and Y_c [directions, N, H]."""
    x, w, r = c.operand(0), c.operand(1), c.operand(2)
    direction = c.text("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise Refusal(f"direction={direction!r}")
    count = 2 if direction == "bidirectional" else 1
    defaults = ("Sigmoid", "Tanh", "Tanh") * count
    if tuple(c.raw("activations") or defaults) != defaults:
        raise Refusal(f"activations {c.raw('activations')}; accepted: {defaults}")
    if c.has("clip") or c.optional(4) is not None or c.optional(7) is not None:
        raise Refusal("clip, sequence_lens and peepholes are not supported")
    batch, hidden = c.shape(x)[1], c.shape(r)[2]
    if not isinstance(hidden, int) or c.shape(r)[0] != count:
        raise Unknown(f"its recurrent weight is {r.type}; the hidden size and {count} direction(s) are expected")
    if hidden > MAXIMUM_MADE or (isinstance(batch, int) and batch * hidden > MAXIMUM_MADE):
        raise Refusal(f"batch {batch} and hidden size {hidden} are too large")
    states = []
    for index in (5, 6):
        given = c.optional(index)
        if given is None and not isinstance(batch, int):
            raise Unknown("without initial states it needs the batch size: give the shapes of the graph's inputs")
        states.append(c.constant(np.zeros((count, batch, hidden)), x.type.dtype) if given is None else given)
    bias = c.optional(3) or c.constant(np.zeros((count, 8 * hidden)), x.type.dtype)
    results = []
    for d in range(count):
        both = c.op("reshape", _part(c, bias, d), shape=(2, 4 * hidden))
        summed = c.op("reduce_sum", both, axes=(0,), keepdims=False)
        results.append(
            c.results(
                "lstm",
                x,
                _part(c, states[0], d),
                _part(c, states[1], d),
                c.transpose(_reordered(c, _part(c, w, d), hidden), (1, 0)),
                c.transpose(_reordered(c, _part(c, r, d), hidden), (1, 0)),
                _reordered(c, summed, hidden),
                reverse=direction == "reverse" or d == 1,
            )
        )
    return tuple(_stacked(c, [result[i] for result in results], axis=1 if i == 0 else 0) for i in range(3))


def _part(c: Conversion, value: Value, index: int) -> Value:
    """value[index]."""
    if value.array is not None:
        return c.constant(value.array[index])
    return c.op("squeeze", c.op("slice", value, axes=(0,), starts=(index,), ends=(index + 1,), steps=(1,)), axes=(0,))


def _reordered(c: Conversion, value: Value, hidden: int) -> Value:
    """The four gates along axis 0 in our order."""
    gates = [np.arange(gate * hidden, (gate + 1) * hidden) for gate in _ORDER]
    indices = np.concatenate(gates)
    if value.array is not None:
        return c.constant(value.array[indices])
    return c.op("gather", value, c.constant(indices), axis=0)


def _stacked(c: Conversion, values: list[Value], axis: int) -> Value:
    parts = [c.op("unsqueeze", value, axes=(axis,)) for value in values]
    return parts[0] if len(parts) == 1 else c.op("concat", *parts, axis=axis)
