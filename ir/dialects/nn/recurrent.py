"""Long short-term memory: one step, and a whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.attributes import boolean
from nascompiler.ir.builder import Builder
from nascompiler.ir.dialects.nn.inference import Shape, dims, like, require_dim, require_same_dtype, scaled, unify
from nascompiler.ir.graph import Value
from nascompiler.ir.ops import InferenceError, OpDef, floats, register_op
from nascompiler.ir.types import Array, Dim, TensorType

_WEIGHTS = (
    floats("w", rank=2, parameter=True),
    floats("r", rank=2, parameter=True),
    floats("b", rank=1, parameter=True),
)


def _state(x: TensorType, h: TensorType, c: TensorType, w: TensorType, r: TensorType, b: TensorType) -> tuple[Dim, Dim]:
    """Batch N and hidden size H; refuses weights and states that do not go together. `x` is [..., N, I]."""
    require_same_dtype(x=x, h=h, c=c, w=w, r=r, b=b)
    hidden = dims(r)[0]
    gates = scaled(hidden, 4)
    because = f"4 gates of hidden size {hidden}, dimension 0 of r"
    require_dim("w", 0, w, dims(x)[-1], "the last dimension of x")
    require_dim("w", 1, w, gates, because)
    require_dim("r", 1, r, gates, because)
    require_dim("b", 0, b, gates, because)
    batch = dims(x)[-2]
    for name, state in (("h", h), ("c", c)):
        require_dim(name, 0, state, batch, "the batch of x")
        require_dim(name, 1, state, hidden, "the hidden size, dimension 0 of r")
        joined = unify(batch, dims(state)[0])
        batch = None if joined is False else joined
    return batch, hidden


def _infer_cell(
    x: TensorType, h: TensorType, c: TensorType, w: TensorType, r: TensorType, b: TensorType
) -> tuple[TensorType, ...]:
    state: Shape = _state(x, h, c, w, r, b)
    return TensorType(state, x.dtype), TensorType(state, x.dtype)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _cell(x: Array, h: Array, c: Array, w: Array, r: Array, b: Array) -> tuple[Array, Array]:
    with np.errstate(over="ignore"):
        i, f, g, o = np.split(np.matmul(x, w) + np.matmul(h, r) + b, 4, axis=1)
        cell = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return like(_sigmoid(o) * np.tanh(cell), x), like(cell, x)


def _decompose_cell(
    builder: Builder, x: Value, h: Value, c: Value, w: Value, r: Value, b: Value
) -> tuple[Value, Value]:
    nn = builder.nn
    hidden = dims(r.type)[0]
    if not isinstance(hidden, int):
        raise InferenceError(f"nn.lstm_cell: the hidden size, dimension 0 of r ({r.type}), must be known to expand it")
    i, f, g, o = nn.split(nn.add(nn.linear(x, w, b), nn.matmul(h, r)), axis=1, sizes=(hidden,) * 4)
    kept = nn.mul(nn.sigmoid(f), c)
    cell = nn.add(kept, nn.mul(nn.sigmoid(i), nn.tanh(g)))
    return nn.mul(nn.sigmoid(o), nn.tanh(cell)), cell


register_op(
    OpDef(
        name="nn.lstm_cell",
        summary=(
            "One LSTM step (Hochreiter and Schmidhuber 1997, with forget gate): x [N, I], states h and c [N, H], w [I, "
            "4H], r [H, 4H], b [4H] -> (h, c). With gates i, f, g, o in this order in x w + h r + b: "
            "c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')."
        ),
        operands=(floats("x", rank=2), floats("h", rank=2), floats("c", rank=2), *_WEIGHTS),
        infer=_infer_cell,
        evaluate=_cell,
        decompose=_decompose_cell,
        results=2,
    )
)


def _infer_sequence(
    x: TensorType, h0: TensorType, c0: TensorType, w: TensorType, r: TensorType, b: TensorType, *, reverse: bool
) -> tuple[TensorType, ...]:
    state: Shape = _state(x, h0, c0, w, r, b)
    return TensorType((dims(x)[0], *state), x.dtype), TensorType(state, x.dtype), TensorType(state, x.dtype)


def _sequence(
    x: Array, h0: Array, c0: Array, w: Array, r: Array, b: Array, *, reverse: bool
) -> tuple[Array, Array, Array]:
    y = np.empty((*x.shape[:2], h0.shape[1]), x.dtype)
    h, c = h0, c0
    steps = range(x.shape[0])
    for step in reversed(steps) if reverse else steps:
        h, c = _cell(x[step], h, c, w, r, b)
        y[step] = h
    return y, h, c


def _sequence_macs(y: TensorType, x: TensorType, h0: TensorType, *others: TensorType, reverse: bool) -> int:
    steps, batch, inputs = x.static_shape
    hidden = y.static_shape[2]
    return steps * batch * (inputs + hidden) * 4 * hidden


register_op(
    OpDef(
        name="nn.lstm",
        summary=(
            "nn.lstm_cell over the sequence x [T, N, I], from its end when `reverse`: (y [T, N, H], h [N, H], "
            "c [N, H]), where y[t] is the state h after x[t], h and c the last states."
        ),
        operands=(floats("x", rank=3), floats("h0", rank=2), floats("c0", rank=2), *_WEIGHTS),
        attributes=(boolean("reverse", False),),
        infer=_infer_sequence,
        evaluate=_sequence,
        macs=_sequence_macs,
        results=3,
    )
)
