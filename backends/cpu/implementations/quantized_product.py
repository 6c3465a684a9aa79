"""Matrix products of 8-bit integers with constant weights: pointwise convolutions and fully connected layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, MOST_ROWS, is_pointwise
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.requantization import requantization, requantization_constants, requantization_sizes
from nascompiler.backends.kernels.dots import Dots
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.gemm_int8 import GemmInt8
from nascompiler.backends.target import Isa, Target
from nascompiler.ir.types import Array, DType

BYTES = (DType.I8, DType.U8)

_CHUNK_PRODUCTS = 1 << 18
"""Fewer products than this are done sooner than another thread wakes up."""


@implements("qnn.conv2d", "qnn.linear", "qnn.matmul")
def gemm_int8(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Packed-weight products by every register tile that fits, rows or panels outside."""
    if not _is_product(call):
        return ()
    x, weight = call.operands[:2]
    k, n = weight.static_shape[-2:]
    m = x.size // k
    isa = target.isa
    dots = Dots.of(isa)
    staged = not dots.reads_directly(x.dtype, k)
    exceeds = weight.bytes * dots.weight.bytes > (target.host.l2_bytes or 1 << 20) // 2
    found = []
    for rows, vectors in _tiles(m, n, isa):
        panels = Panels.of(n, isa.lanes, vectors)
        if panels is None:
            continue
        for panels_outside in (exceeds, not exceeds):
            pieces = panels.wide + panels.narrow if panels_outside else -(-m // rows)
            chunks = max(min(pieces, CHUNKS, m * n * k // _CHUNK_PRODUCTS), 1)
            kernel = GemmInt8(
                isa=isa,
                rows=rows,
                vectors=vectors,
                x_dtype=x.dtype,
                requantization=requantization(call),
                staged=staged,
                panels_outside=panels_outside,
                columns=n if n < isa.lanes else 0,
            )
            groups = dots.groups(k)
            cut = {"groups": groups, "wide": panels.wide, "narrow": panels.narrow}
            length = groups * dots.group
            found.append(
                Implementation(
                    variant=f"int8 gemm {rows}x{vectors * isa.lanes}, {'panels' if panels_outside else 'rows'} outside",
                    kernel=kernel,
                    operands={"x": 0},
                    constants=_constants(call, panels, dots),
                    sizes={"m": m, "n": n, "k": k, **cut, **requantization_sizes(call)},
                    chunks=chunks,
                    workspace=chunks * (m if panels_outside else rows) * length if staged else 0,
                )
            )
    return found


def _is_product(call: KernelCall) -> bool:
    """Whether a call multiplies bytes by one constant matrix of bytes with the zero point of symmetric weights."""
    x, weight = call.operands[:2]
    if call.constants != tuple(range(1, len(call.operands))) or (call.op == "qnn.conv2d" and not is_pointwise(call)):
        return False
    zero_point = call["b_zero_point" if call.op == "qnn.matmul" else "weight_zero_point"]
    is_matrix = weight.rank == 2 or call.op == "qnn.conv2d"
    symmetric = zero_point == symmetric_zero_point(weight.dtype)
    return is_matrix and symmetric and x.dtype in BYTES and weight.dtype in BYTES and x.size * weight.size > 0


def symmetric_zero_point(weight: DType) -> int:
    """The zero point with which weights are signed bytes."""
    return 0 if weight is DType.I8 else 128


def _tiles(m: int, n: int, isa: Isa) -> list[tuple[int, int]]:
    """Rows and vectors of register tiles, the best guess first."""
    vectors = min(-(-n // isa.lanes), 3)
    guesses = [(min(MOST_ROWS, isa.accumulators // v, m), v) for v in (vectors, 3, 2, 1) if v <= vectors]
    if n >= 4 * isa.lanes:
        wide = (min(isa.accumulators // 4, m), 4)
        guesses.insert(0 if m <= 2 else len(guesses), wide)
    return list(dict.fromkeys(guesses))


def _constants(call: KernelCall, panels: Panels, dots: Dots) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    is_matmul = call.op == "qnn.matmul"
    prefix = "a" if is_matmul else "x"

    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        matrix = np.asarray(operands[1])
        matrix = matrix.reshape(matrix.shape[-2:]).astype(np.int64) - symmetric_zero_point(call.operands[1].dtype)
        scale = np.asarray(call["b_scale"], np.float32) if is_matmul else operands[2]
        bias = operands.get(3, np.zeros(matrix.shape[1], np.int32))
        made = {"offset": offsets(matrix, bias, call[f"{prefix}_zero_point"] + dots.shift(call.operands[0].dtype))}
        made |= requantization_constants(call, call[f"{prefix}_scale"], scale)
        missing = max(panels.lanes - panels.columns, 0)
        made |= {name: np.pad(made[name], (0, missing)) for name in ("offset", "scale")}
        return {"weight": panels.pack(dots.pack(matrix)).view(dots.weight.numpy), **made}

    return pack


def offsets(weight: Array, bias: Array, zero_point: int) -> Array:
    """What sums over x [.., K] * weight [K, N] get added, int32 [N]: the bias less the share of x's zero point.

    Sums wrap around modulo 2 ** 32 on the way, as long as the final ones fit.
    """
    total = np.asarray(bias, np.int64) - zero_point * np.asarray(weight, np.int64).sum(axis=0)
    return total.astype(np.int32)
