"""Float32 products by tile registers for bytes, in slices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.slicing import VARIANT, can_slice
from nascompiler.backends.kernels.gemm_slices import GemmSlices, workspace_bytes
from nascompiler.backends.kernels.slices import LANES, SLICES, blocks_of, pack_slices, slice_tiles
from nascompiler.backends.kernels.tiles import TILE_ROWS
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array

KEPT, KEPT_SHARED = 2, 3
"""Weights up to this part of the second-level cache are read again for each tile of rows, by one thread and by
several, which fetch them at the same time.
"""

ROWS_OF_THREAD, SHARED_FROM = 64, 32
"""Threads that have so many rows each share rows where weights exceed this part of the second-level cache: each finds
in its own what it wrote before, as do convolutions around. Otherwise they share panels, and each stages all rows.
"""

STREAMED_FROM = 4
"""Blocks of terms from which a tile of rows and the panels that it meets, or a panel and tiles, would displace each
other in the first-level cache."""

_STAGING = 4
"""What a tile costs besides its rows, in rows."""


def sliced_products(call: KernelCall, target: Target, operands: Mapping[str, int]) -> list[Implementation]:
    """The product of a call with constant weights and bias, its operands 1 and 2, with rows or panels outside.

    `operands` are those that are computed: x, and a residual or a gate for each image. What suits the size of the
    weights comes first.
    """
    (k, n), x = call.operands[1].static_shape[-2:], call.operands[0]
    images = x.static_shape[0] if "gate" in operands else 1
    m = x.size // k // images
    if not can_slice(m, n, k, target):
        return []
    size, cache = SLICES * k * n, target.host.l2_bytes
    exceeds = size > cache // (KEPT if target.threads == 1 else KEPT_SHARED)
    orders = [(exceeds, False), (not exceeds, False)]
    if target.threads > 1:
        has_rows = m * images >= ROWS_OF_THREAD * target.threads
        orders.insert(0 if has_rows and size > cache // SHARED_FROM else 1, (exceeds, True))
    found = []
    for panels_outside, rows_shared in orders:
        tile_rows = _tile_rows(m, images, target.threads if rows_shared else 1)
        tiles, panels = -(-m // tile_rows) * images, -(-n // LANES)
        whole = tiles if panels_outside else panels  # staged once where it is not divided
        grain = 1 if target.threads > 1 else whole
        parts = tiles if rows_shared else -(-tiles * panels // grain)
        chunks = min(parts, max(target.threads, 2))
        kernel = GemmSlices(
            isa=target.isa,
            activation=(call["activation"], call["activation_parameters"]),
            residual="residual" in operands,
            gate="gate" in operands,
            panels_outside=panels_outside,
            rows_shared=rows_shared,
            streamed=blocks_of(k) >= STREAMED_FROM,
        )
        sizes = {"m": m, "n": n, "k": k, "blocks": blocks_of(k), "tile_rows": tile_rows, "grain": grain}
        order = "panels outside" if panels_outside else "rows outside"
        found.append(
            Implementation(
                variant=f"{VARIANT}, {order}{', rows shared' if rows_shared else ''}",
                kernel=kernel,
                operands=operands,
                constants=partial(_pack, tile_rows=tile_rows),
                sizes={**sizes, "images": images} if "gate" in operands else sizes,
                chunks=chunks,
                workspace=chunks * workspace_bytes(m, images, k, tile_rows, panels_outside),
            )
        )
    return found


def _tile_rows(m: int, images: int, threads: int) -> int:
    """Rows of a tile, so that the thread that has most of the tiles has as few rows as can be."""

    def most(rows: int) -> int:
        tiles = -(-m // rows) * images
        return -(-tiles // threads) * (rows + _STAGING)

    return min(range(min(m, TILE_ROWS), 0, -1), key=most)


def _pack(arrays: Mapping[int, Array], tile_rows: int) -> dict[str, Array]:
    weight, bias = (np.asarray(arrays[i]) for i in (1, 2))
    packed = pack_slices(weight.reshape(weight.shape[-2:]), short=True)
    return {**packed, "bias": bias, "tiles": slice_tiles(tile_rows)}
