"""Float32 products by tile registers for bytes, in slices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.slicing import VARIANT, can_slice
from nascompiler.backends.kernels.gemm_slices import (
    LANES,
    ROW_TILES,
    SLICES,
    GemmSlices,
    blocks_of,
    pack_slices,
    workspace_bytes,
)
from nascompiler.backends.kernels.tiles import TILE_ROWS, tile_configuration
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array


KEPT, KEPT_SHARED = 2, 16
"""Weights up to this part of the second-level cache are read again for each pair of tiles of rows. Threads that all
read all weights wait for each other: they share panels, and each stages all rows, before weights are that many.
"""


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
    tiles = -(-m // TILE_ROWS)
    tile_rows = -(-m // (tiles + tiles % ROW_TILES))
    pairs, panels = -(-m // (tile_rows * ROW_TILES)) * images, -(-n // LANES)
    exceeds = SLICES * k * n > target.host.l2_bytes // (KEPT if target.threads == 1 else KEPT_SHARED)
    found = []
    for panels_outside in (exceeds, not exceeds):
        whole = pairs if panels_outside else panels  # staged once where it is not divided
        grain = 1 if target.threads > 1 else whole
        chunks = min(-(-pairs * panels // grain), max(target.threads, 2))
        kernel = GemmSlices(
            isa=target.isa,
            activation=(call["activation"], call["activation_parameters"]),
            residual="residual" in operands,
            gate="gate" in operands,
            panels_outside=panels_outside,
        )
        sizes = {"m": m, "n": n, "k": k, "blocks": blocks_of(k), "tile_rows": tile_rows, "grain": grain}
        found.append(
            Implementation(
                variant=f"{VARIANT}, {'panels' if panels_outside else 'rows'} outside",
                kernel=kernel,
                operands=operands,
                constants=lambda arrays: _pack(arrays, tile_rows),
                sizes={**sizes, "images": images} if "gate" in operands else sizes,
                chunks=chunks,
                workspace=chunks * workspace_bytes(m, images, k, tile_rows, panels_outside),
            )
        )
    return found


def _pack(arrays: Mapping[int, Array], tile_rows: int) -> dict[str, Array]:
    weight, bias = (np.asarray(arrays[i]) for i in (1, 2))
    packed = pack_slices(weight.reshape(weight.shape[-2:]))
    return {**packed, "bias": bias, "tiles": tile_configuration([tile_rows] * 7 + [TILE_ROWS])}
