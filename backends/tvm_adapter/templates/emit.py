"""A thin layer over TVM's IR builder for register-tiled kernels: flat buffers, vectors of any length, accumulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from nascompiler.backends.cpu.tiling import Columns, lane_pieces
from nascompiler.ir.types import TensorType

Expr = Any
"""A TVM expression, or a Python number where one is accepted."""

Buffer = Any


def prim_func(symbol: str, types: Sequence[TensorType], body: Callable[..., None]) -> Any:
    """A PrimFunc that takes one float32 tensor of each type; `body` gets them as flat buffers, results last."""
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name(symbol)
            T.func_attr({"global_symbol": symbol, "tirx.noalias": True})
            arguments = [T.arg(f"a{i}", T.buffer(t.static_shape, str(t.dtype.numpy))) for i, t in enumerate(types)]
            body(
                *(
                    T.decl_buffer((t.size,), str(t.dtype.numpy), data=a.data)
                    for t, a in zip(types, arguments, strict=True)
                )
            )
    return builder.get()


def load(buffer: Buffer, index: Expr, lanes: int) -> Expr:
    """`lanes` values from `index` on."""
    return buffer[tirx.Ramp(index, 1, lanes)] if lanes > 1 else buffer[index]


def store(buffer: Buffer, value: Expr, index: Expr, lanes: int) -> None:
    """Write `lanes` values from `index` on."""
    T.buffer_store(buffer, value, [tirx.Ramp(index, 1, lanes) if lanes > 1 else index])


def splat(value: Expr, lanes: int) -> Expr:
    """One value in every lane."""
    scalar = tirx.const(value, "float32") if isinstance(value, int | float) else value
    return tirx.Broadcast(scalar, lanes) if lanes > 1 else scalar


def bind(value: Expr) -> Expr:
    """A name for a value that is used more than once."""
    return value if isinstance(value, int) else T.Bind(value)


class Accumulator:
    """A vector that a loop adds to. It lives in a buffer on the stack that LLVM turns into a register."""

    def __init__(self, lanes: int, initial: Expr) -> None:
        self.lanes = lanes
        # scope "global", since TVM puts only small *global* buffers of a CPU function on the stack
        self._buffer = T.alloc_buffer((lanes,), "float32", scope="global")
        self.value = initial

    @property
    def value(self) -> Expr:
        return load(self._buffer, 0, self.lanes)

    @value.setter
    def value(self, value: Expr) -> None:
        store(self._buffer, value, 0, self.lanes)

    def add_product(self, a: Expr, b: Expr) -> None:
        """Add a * b; LLVM contracts it to a fused multiply-add where there is one."""
        self.value = self.value + a * b


def held(value: Expr, lanes: int) -> Expr:
    """A value in a register of its own. Unlike `bind`, it is opaque to TVM's simplifier."""
    return Accumulator(lanes, value).value


def at_least(x: Expr, low: Expr) -> Expr:
    """The larger of x and a bound; NaN stays NaN. One instruction where the processor has it."""
    return tirx.Select(x < low, low, x)


def at_most(x: Expr, high: Expr) -> Expr:
    """The smaller of x and a bound; NaN stays NaN."""
    return tirx.Select(x > high, high, x)


def exp(x: Expr, lanes: int) -> Expr:
    """e to the power of x, to the last bits of float32; below e^-87 and above e^88 it stays at these.

    The power of two next to it by its exponent, the rest by a polynomial (Cephes, expf.c).
    """

    def number(value: float) -> Expr:
        return splat(float(value), lanes)

    x = held(at_least(held(x, lanes), number(-87.33)), lanes)
    x = held(at_most(x, number(88.37)), lanes)
    power = held(tirx.floor(x * number(1.44269504088896341) + number(0.5)), lanes)
    rest = held(x - power * number(0.693359375) - power * number(-2.12194440e-4), lanes)
    series = number(1.9875691500e-4)
    for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        series = series * rest + number(coefficient)
    series = series * rest * rest + rest + number(1)
    kind = "int32" if lanes == 1 else f"int32x{lanes}"
    exponent = power.astype(kind) + _integer(127, lanes)
    bits = tirx.shift_left(exponent, _integer(23, lanes))
    return held(series * tirx.reinterpret(kind.replace("int", "float"), bits), lanes)


def _integer(value: int, lanes: int) -> Expr:
    scalar = tirx.const(value, "int32")
    return tirx.Broadcast(scalar, lanes) if lanes > 1 else scalar


LENGTHY = frozenset({"sigmoid", "swish", "tanh"})
"""Activations whose code is long: worth a loop over pixels rather than a copy for each accumulator."""


def finish(
    accumulators: Sequence[Sequence[Accumulator]],
    load_bias: Callable[[int], Expr],
    load_residual: Callable[[Expr, int], Expr] | None,
    store_result: Callable[[Expr, Expr, int], None],
    name: str,
    parameters: Sequence[float],
) -> None:
    """Bias, residual and activation for `accumulators[pixel][vector]`.

    The bias comes last, not first: often it is larger than the sums, which would be rounded to its size. `load_bias`
    gives the bias of a vector, `load_residual(pixel, vector)` the residual; `store_result(value, pixel, vector)` takes
    the result.
    """

    def total(value: Expr, bias: Expr, pixel: Expr, vector: int) -> Expr:
        value = value + bias
        return value if load_residual is None else value + load_residual(pixel, vector)

    for vector, column in enumerate(zip(*accumulators, strict=True)):
        lanes = column[0].lanes
        bias = held(load_bias(vector), lanes)
        if name not in LENGTHY or len(column) == 1:
            for pixel, accumulator in enumerate(column):
                value = held(total(accumulator.value, bias, pixel, vector), lanes)
                store_result(activate(value, lanes, name, parameters), pixel, vector)
            continue
        waiting = T.alloc_buffer((len(column) * lanes,), "float32", scope="global")
        for pixel, accumulator in enumerate(column):
            store(waiting, accumulator.value, pixel * lanes, lanes)
        with T.serial(0, len(column)) as pixel:
            value = held(total(load(waiting, pixel * lanes, lanes), bias, pixel, vector), lanes)
            store_result(activate(value, lanes, name, parameters), pixel, vector)


def activate(x: Expr, lanes: int, name: str, parameters: Sequence[float]) -> Expr:
    """An activation of `lanes` values; see `nascompiler.backends.cpu.activation`."""

    def number(value: float) -> Expr:
        return splat(float(value), lanes)

    def clip(value: Expr, low: float, high: float) -> Expr:
        if low != float("-inf"):
            value = at_least(value, number(low))
        return value if high == float("inf") else at_most(held(value, lanes), number(high))

    if name == "none":
        return x
    if name == "relu":
        return at_least(x, number(0))
    if name == "clip":
        return clip(x, *parameters)
    if name == "leaky_relu":
        return tirx.Select(x > number(0), x, x * number(parameters[0]))
    if name == "hard_sigmoid":
        return clip(held(x * number(parameters[0]) + number(parameters[1]), lanes), 0, 1)
    if name == "hard_swish":
        return x * clip(held(x * number(1 / 6) + number(0.5), lanes), 0, 1)
    if name == "sigmoid":
        return number(1) / (number(1) + exp(number(0) - x, lanes))
    if name == "swish":
        return x / (number(1) + exp(number(0) - x, lanes))
    if name == "tanh":
        return number(2) / (number(1) + exp(x * number(-2), lanes)) - number(1)
    raise NotImplementedError(name)


def lower_bound(offset: Expr, step: int) -> Expr:
    """The smallest k >= 0 with offset + k * step >= 0."""
    if step == 1:
        return tirx.max(0 - offset, 0)
    return tirx.max(tirx.floordiv(step - 1 - offset, step), 0)


def upper_bound(offset: Expr, step: int, size: int, count: int) -> Expr:
    """One more than the largest k < count with offset + k * step < size."""
    if step == 1:
        return tirx.min(size - offset, count)
    return tirx.min(tirx.floordiv(size - 1 - offset, step) + 1, count)


def serial(extent: int, body: Callable[[Expr], None]) -> None:
    """A loop, or just its body when it runs once."""
    if extent == 1:
        body(0)
    elif extent > 1:
        with T.serial(0, extent) as index:
            body(index)


def over_blocks(size: int, width: int, body: Callable[[Expr], None], *, parallel: bool = False) -> None:
    """`body(start)` for blocks of `width` that cover `size` elements; the last block overlaps the one before.

    Needs size >= width. What overlaps is computed twice, to the same values.
    """
    count = -(-size // width)

    def block(index: Expr) -> None:
        start = index * width
        body(start if size % width == 0 else bind(tirx.min(start, size - width)))

    if parallel and count > 1:
        with T.parallel(0, count) as index:
            block(index)
    else:
        serial(count, block)


def over_channels(channels: int, lanes: int, body: Callable[[Expr, int], None], *, parallel: bool = False) -> None:
    """`body(first channel, lanes)` for vectors that cover all channels: full ones where there are enough channels."""
    if channels >= lanes:
        over_blocks(channels, lanes, lambda channel: body(channel, lanes), parallel=parallel)
        return
    channel = 0
    for piece in lane_pieces(channels, lanes):
        body(channel, piece)
        channel += piece


def tile_start(part: Columns, tile: Expr) -> Expr:
    """The first column of a tile."""
    start = part.start + tile * part.width
    return bind(tirx.min(start, part.last)) if part.overlaps else start


def compile_prim_func(function: Any, symbol: str, target: Any) -> Any:
    """A runtime module of one PrimFunc, its entry exported under `symbol`."""
    return tvm.tirx.build(tvm.IRModule({symbol: function.with_attr("global_symbol", symbol)}), target=target)
