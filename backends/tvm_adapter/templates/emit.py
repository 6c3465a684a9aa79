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


def activate(x: Expr, lanes: int, name: str, parameters: Sequence[float]) -> Expr:
    """An activation of `lanes` values; see `nascompiler.backends.cpu.activation`."""

    def number(value: float) -> Expr:
        return splat(float(value), lanes)

    def clip(value: Expr, low: float, high: float) -> Expr:
        if low != float("-inf"):
            value = tirx.max(value, number(low))
        return value if high == float("inf") else tirx.min(value, number(high))

    if name == "none":
        return x
    if name == "relu":
        return tirx.max(x, number(0))
    if name == "clip":
        return clip(x, *parameters)
    if name == "leaky_relu":
        return tirx.max(x, number(0)) + tirx.min(x, number(0)) * number(parameters[0])
    if name == "hard_sigmoid":
        return clip(x * number(parameters[0]) + number(parameters[1]), 0, 1)
    if name == "hard_swish":
        return x * clip(x * number(1 / 6) + number(0.5), 0, 1)
    if name == "sigmoid":
        return number(1) / (number(1) + tirx.exp(number(0) - x))
    if name == "swish":
        return x / (number(1) + tirx.exp(number(0) - x))
    if name == "tanh":
        return tirx.tanh(x)
    raise NotImplementedError(name)


def maximum(a: Expr, b: Expr) -> Expr:
    """The larger of two values."""
    return tirx.max(a, b)


def to_float(value: Expr) -> Expr:
    """A count as a float32 scalar."""
    return float(value) if isinstance(value, int) else tirx.Cast("float32", value)


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
