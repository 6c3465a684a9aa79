"""Sums, gates, tables and conversions of 8-bit integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, prod
from typing import Any

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.quantized_product import BYTES
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.requantization import for_small_results, requantization, requantization_sizes
from nascompiler.backends.kernels.elementwise_int8 import BinaryInt8, Dequantize, Lookup, Requantize, block_of
from nascompiler.backends.target import Target
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.types import Array, DType

CHUNK_ELEMENTS = 1 << 15
"""Fewer elements than this are done sooner than another thread wakes up."""

MOST_CHUNKS = 8

MOST = 255
"""What bytes are at most, less their zero point."""


@implements("qnn.add", "qnn.mul")
def binary(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Operands of one shape, or an image by a row of factors for each of its channels."""
    a, b = call.operands
    if call.constants or not {a.dtype, b.dtype, call["dtype"]} <= set(BYTES) or not call.result.size:
        return ()
    same = a.static_shape == b.static_shape
    if not same and not _is_gate(a.static_shape, b.static_shape):
        return ()
    images, rows, columns = (1, 1, a.size) if same else (b.size // b.static_shape[-1], 1, b.static_shape[-1])
    if not same:
        rows = a.size // b.size
    operation = call.op.removeprefix("qnn.")
    if operation == "add":
        factors = np.asarray([arithmetic.ratio(call[f"{name}_scale"], call["scale"]) for name in "ab"])
    else:
        factors = arithmetic.multipliers(call["a_scale"], np.asarray([call["b_scale"]], np.float32), call["scale"])
    largest = MOST * float(factors.sum()) if operation == "add" else MOST**2 * float(factors[0])
    kernel = BinaryInt8(
        isa=target.isa,
        operation=operation,
        a_dtype=a.dtype,
        b_dtype=b.dtype,
        requantization=for_small_results(call, requantization(call), target.isa, largest),
        block=block_of(target.isa, columns),
        broadcast=not same,
    )
    sizes = {
        "images": images,
        "rows": rows,
        "columns": columns,
        "a_zero_point": call["a_zero_point"],
        "b_zero_point": call["b_zero_point"],
        **requantization_sizes(call),
    }
    constants = _constant({"factors": factors})
    return [Implementation("int8", kernel, {"a": 0, "b": 1}, constants, sizes, _chunks(a.size))]


def _is_gate(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether b has one number for each image and channel of a, which is [N, ..., C]."""
    return len(a) == len(b) > 2 and b[0] == a[0] and b[-1] == a[-1] and prod(b[1:-1]) == 1


@implements("qnn.quantize", "qnn.requantize", "qnn.dequantize")
def conversion(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Between float32 and bytes, and between scales of bytes."""
    (x,) = call.operands
    attributes: dict[str, Any] = dict(call.attributes)
    to, count = attributes.get("dtype", DType.F32), x.size
    if call.constants or not count or not {x.dtype, to} <= {*BYTES, DType.F32}:
        return ()
    block = block_of(target.isa, count)
    if call.op == "qnn.quantize":
        scale = np.float32(call["scale"])
        if not 2.0**-90 <= scale <= 2.0**90:
            return ()
        factors = [scale, np.float32(1) / scale]
    elif call.op == "qnn.requantize":
        factors = [arithmetic.ratio(call["x_scale"], call["scale"])]
    else:
        factors = [np.float32(call["x_scale"])]
    sizes = {"count": count, "x_zero_point": attributes.get("x_zero_point", 0)}
    kernel: Requantize | Dequantize
    if call.op == "qnn.dequantize":
        kernel = Dequantize(target.isa, block, x.dtype)
    else:
        largest = inf if x.dtype.is_float else MOST * float(factors[0])
        kind = for_small_results(call, requantization(call), target.isa, largest)
        kernel = Requantize(target.isa, block, x.dtype, kind)
        sizes |= requantization_sizes(call)
    constants = _constant({"factors": np.asarray(factors, np.float32)})
    return [Implementation("int8", kernel, {"x": 0}, constants, sizes, _chunks(count))]


@implements("qnn.lookup")
def lookup(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Tables of 256 bytes."""
    x, table = call.operands
    if call.constants != (1,) or not {x.dtype, table.dtype} <= set(BYTES) or not x.size:
        return ()

    def by_bits(operands: Mapping[int, Array]) -> dict[str, Array]:
        entries = np.asarray(operands[1]).view(np.uint8)
        return {"table": np.roll(entries, entries.size // 2) if x.dtype is DType.I8 else entries}

    kernel = Lookup(target.isa, block_of(target.isa, x.size), table.dtype)
    return [Implementation("int8", kernel, {"x": 0}, by_bits, {"count": x.size}, _chunks(x.size))]


def _chunks(count: int) -> int:
    return max(min(count // CHUNK_ELEMENTS, MOST_CHUNKS), 1)


def _constant(arrays: Mapping[str, Array]) -> Callable[[Mapping[int, Array]], Mapping[str, Array]]:
    """Arrays that are no operand of the call but made from its attributes."""
    return lambda operands: arrays
