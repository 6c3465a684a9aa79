"""Matrix products of 8-bit integers with constant weights: pointwise convolutions and fully connected layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.fully_connected import CHUNK_BYTES
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, is_pointwise, tiles
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.requantization import (
    for_bounded_sums,
    requantization,
    requantization_constants,
    requantization_sizes,
)
from nascompiler.backends.kernels.dots import SMALL_GROUPS, Dots
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.gemm_amx import (
    PIECES,
    SUMS,
    GemmAmx,
    TilePanels,
    amx_dots,
    staged_rows,
    workspace_bytes,
)
from nascompiler.backends.kernels.gemm_int8 import PACKED, GemmInt8
from nascompiler.backends.kernels.gemv import MOST_ROWS
from nascompiler.backends.kernels.gemv_int8 import GemvInt8
from nascompiler.backends.kernels.matrix_dots import MATRIX_DOTS
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, tile_configuration
from nascompiler.backends.target import Isa, Target
from nascompiler.ir.types import Array, DType

BYTES = (DType.I8, DType.U8)

_LEAST_TILE_TERMS = 16
"""Shorter sums are left to dot products of vectors: a tile multiplies 64 terms at once."""

_UNIT_ROWS = SUMS * TILE_ROWS
"""Rows that make whole units of tiles in any panel."""

"""The nearest cache of a machine that does not tell."""

_CHUNK_PRODUCTS = 1 << 18
"""Fewer products than this are done sooner than another thread wakes up."""


_FINISH, _PACKED_FINISH = 5.5, 4.5
"""Instructions on ARM that make bytes of a vector of sums, alone and with three others that are stored with it."""


@implements("qnn.conv2d", "qnn.linear", "qnn.matmul")
def gemv_int8(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """One way: all rows at once, so that weights are read once."""
    if not _is_product(call) or _rows(call) > MOST_ROWS:
        return ()
    isa, (k, n) = target.isa, call.operands[1].static_shape[-2:]
    panels = Panels.of(n, isa.lanes, 1)
    assert panels is not None
    chunks = max(min(n * k // CHUNK_BYTES, panels.wide, CHUNKS), 1)
    groups = Dots.of(isa).groups(k)
    return [
        Implementation(
            variant="int8 gemv",
            kernel=GemvInt8(rows=_rows(call), **_fields(call, isa, Dots.of(isa))),
            operands={"x": 0},
            constants=_constants(call, panels, Dots.of(isa)),
            sizes={"n": n, "k": k, "groups": groups, **requantization_sizes(call)},
            chunks=chunks,
            workspace=_workspace(call, Dots.of(isa), chunks * _rows(call)),
        )
    ]


@implements("qnn.conv2d", "qnn.linear", "qnn.matmul")
def gemm_amx(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """By tile registers, where sums are long enough to pay for the way through memory."""
    if "amx" not in target.isa.dots or not _is_product(call):
        return ()
    isa, m, (k, n) = target.isa, _rows(call), call.operands[1].static_shape[-2:]
    if m < TILE_ROWS or n < isa.lanes or k < _LEAST_TILE_TERMS:
        return ()
    x, kind = call.operands[0].dtype, requantization(call)
    blocks = amx_dots(x).groups(k)
    near = target.host.l1_data_bytes
    panels = TilePanels.of(n, wide=SUMS * TILE_ROWS * TILE_BYTES * blocks <= near * 2 // 3)
    band = _band(m, n, k, target)
    units = -(-band // TILE_ROWS)
    pieces_of_work = -(-m // band) * sum(panels.counts)
    chunks = max(min(pieces_of_work, CHUNKS, m * n * k // _CHUNK_PRODUCTS), 1)
    is_near = n * blocks * TILE_BYTES <= near // 4
    sizes = {
        "m": m,
        "n": n,
        "k": k,
        "blocks": blocks,
        **dict(zip(("wide", "double", "single"), panels.counts, strict=True)),
        "band": band,
        "share": workspace_bytes(m, k),
        "staged": staged_rows(m, k),
        "pieces": -(-PIECES // blocks),
        "ahead": 0 if is_near else -(-SUMS * TILE_ROWS // units),
        **requantization_sizes(call),
    }
    made = Implementation(
        variant="int8 gemm by tiles",
        kernel=GemmAmx(isa=isa, x_dtype=x, requantization=kind),
        operands={"x": 0},
        constants=_tile_constants(call, panels.lanes(interleaved=kind.dtype.bytes == 1), blocks),
        sizes=sizes,
        chunks=chunks,
        workspace=chunks * workspace_bytes(m, k),
    )
    return [for_bounded_sums(made, call)]


def _band(m: int, n: int, k: int, target: Target) -> int:
    """Rows that meet all panels before the next ones: few where the weights of all panels stay in the nearest cache."""
    most = -(-m // _UNIT_ROWS) * _UNIT_ROWS
    near = target.host.l1_data_bytes
    if n * k > near // 2:
        return most
    return min(max(near // 2 // (n + k) // _UNIT_ROWS, 4) * _UNIT_ROWS, most)


@implements("qnn.conv2d", "qnn.linear", "qnn.matmul")
def gemm_int8(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """By every register tile that fits; rows outside, or panels when weights fill the cache."""
    if not _is_product(call) or _rows(call) <= MOST_ROWS:
        return ()
    m, n = _rows(call), call.operands[1].static_shape[-1]
    cuts = [(tile, MATRIX_DOTS) for tile in _matrix_tiles(m, n)] if "i8mm" in target.isa.dots else []
    cuts += [(tile, Dots.of(target.isa)) for tile in _tiles(call, target, m, n)]
    return [made for tile, dots in cuts for made in _gemms(call, target, *tile, dots)]


def _tiles(call: KernelCall, target: Target, m: int, n: int) -> list[tuple[int, int]]:
    """Rows and vectors of tiles, the best guess first: on ARM the one with the least work for its vector units."""
    found = tiles(m, n, target)
    if target.isa.architecture != "aarch64":
        return found
    groups = Dots.of(target.isa).groups(call.operands[1].static_shape[-2])

    def work(tile: tuple[int, int]) -> float:
        rows, vectors = tile
        together = vectors == PACKED and n % (PACKED * target.isa.lanes) == 0
        return -(-m // rows) * rows * (groups + (_PACKED_FINISH if together else _FINISH))

    return sorted(found, key=work)


def _matrix_tiles(m: int, n: int) -> list[tuple[int, int]]:
    """Rows, in pairs, and vectors of tiles of small matrices, the best guess first."""
    return [(min(8, m // 2 * 2), 2), (min(6, m // 2 * 2), 3)] if n > 8 else [(min(8, m // 2 * 2), -(-n // 4))]


def _gemms(call: KernelCall, target: Target, rows: int, vectors: int, dots: Dots) -> Iterator[Implementation]:
    """A register tile in two orders: rows outside, or panels."""
    isa, m, (k, n) = target.isa, _rows(call), call.operands[1].static_shape[-2:]
    panels = Panels.of(n, isa.lanes, vectors)
    if panels is None:
        return
    by_matrices = dots is MATRIX_DOTS
    exceeds = n * k * dots.weight.bytes > target.host.l2_bytes // 2
    cut = {"groups": dots.groups(k), "wide": panels.wide, "narrow": panels.narrow}
    fields = {**_fields(call, isa, dots), "by_matrices": by_matrices}
    if isa.architecture == "aarch64":
        few = cut["groups"] <= SMALL_GROUPS and not by_matrices
        fields |= {
            "whole": n % (vectors * isa.lanes) == 0,
            "few_groups": cut["groups"] if few else 0,
            "is_long": not few and not by_matrices,
        }
    name = "int8 gemm by matrices" if by_matrices else "int8 gemm"
    for panels_outside in (exceeds, not exceeds):
        pieces = panels.wide + panels.narrow if panels_outside else -(-m // rows)
        chunks = max(min(pieces, CHUNKS, m * n * k // _CHUNK_PRODUCTS), 1)
        made = Implementation(
            variant=f"{name} {rows}x{vectors * isa.lanes}, {'panels' if panels_outside else 'rows'} outside",
            kernel=GemmInt8(rows=rows, vectors=vectors, panels_outside=panels_outside, **fields),
            operands={"x": 0},
            constants=_constants(call, panels, dots),
            sizes={"m": m, "n": n, "k": k, **cut, **requantization_sizes(call)},
            chunks=chunks,
            workspace=_workspace(call, dots, chunks * (m if panels_outside else rows)),
        )
        yield for_bounded_sums(made, call)


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


def _rows(call: KernelCall) -> int:
    return call.operands[0].size // call.operands[1].static_shape[-2]


def _is_staged(call: KernelCall, dots: Dots) -> bool:
    return not dots.reads_directly(call.operands[0].dtype, call.operands[1].static_shape[-2])


def _fields(call: KernelCall, isa: Isa, dots: Dots) -> dict[str, Any]:
    """The fields that all kernels have."""
    n = call.result.static_shape[-1]
    return {
        "isa": isa,
        "x_dtype": call.operands[0].dtype,
        "requantization": requantization(call),
        "staged": _is_staged(call, dots),
        "columns": n if n < isa.lanes else 0,
    }


def _workspace(call: KernelCall, dots: Dots, rows: int) -> int:
    """Elements for some rows, if they are staged."""
    return rows * dots.groups(call.operands[1].static_shape[-2]) * dots.group if _is_staged(call, dots) else 0


def _numbers(call: KernelCall, operands: Mapping[int, Array], dots: Dots) -> tuple[Array, dict[str, Array]]:
    """The weights [K, N] as signed integers, and what sums are requantised with."""
    is_matmul, n = call.op == "qnn.matmul", call.result.static_shape[-1]
    prefix = "a" if is_matmul else "x"
    matrix = operands[1].reshape(-1, n).astype(np.int64) - symmetric_zero_point(call.operands[1].dtype)
    scale = np.asarray(call["b_scale"], np.float32) if is_matmul else operands[2]
    bias = operands.get(3, np.zeros(n, np.int32))
    made = {"offset": offsets(matrix, bias, call[f"{prefix}_zero_point"] + dots.shift(call.operands[0].dtype))}
    return matrix, made | requantization_constants(call, call[f"{prefix}_scale"], scale)


def _constants(call: KernelCall, panels: Panels, dots: Dots) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    """What packs the operands of a call."""

    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        matrix, made = _numbers(call, operands, dots)
        missing = max(panels.lanes - panels.columns, 0)
        made |= {name: np.pad(made[name], (0, missing)) for name in ("offset", "scale")}
        return {"weight": panels.pack(dots.pack(matrix)).view(dots.weight.numpy), **made}

    return pack


def _tile_constants(
    call: KernelCall, panels: Sequence[Array], blocks: int
) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    """What packs the operands of a call for tile registers: panels of columns, whole blocks of terms."""
    dots = Dots(4, call.operands[0].dtype, DType.I8)

    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        matrix, made = _numbers(call, operands, dots)
        groups = dots.pack(np.pad(matrix, ((0, blocks * TILE_BYTES - len(matrix)), (0, 0))))
        made |= {name: np.concatenate([made[name][panel] for panel in panels]) for name in ("offset", "scale")}
        weight = np.concatenate([groups[:, panel].reshape(-1) for panel in panels]).view(np.int8)
        return {"weight": weight, **made, "tiles": tile_configuration()}

    return pack


def offsets(weight: Array, bias: Array, zero_point: int) -> Array:
    """What sums over x [.., K] * weight [K, N] get added, int32 [N]: the bias less the share of x's zero point.

    Sums wrap around modulo 2 ** 32 on the way, as long as the final ones fit.
    """
    total: Array = np.asarray(bias, np.int64) - zero_point * np.asarray(weight, np.int64).sum(axis=0)
    return total.astype(np.int32)
