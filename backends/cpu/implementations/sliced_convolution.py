"""Dense float32 convolutions by tile registers for bytes, in slices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.slicing import VARIANT, can_slice_window
from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.kernels.convolution_slices import ROW_TILES, ConvolutionSlices
from nascompiler.backends.kernels.slices import blocks_of, pack_slices, slice_tiles
from nascompiler.backends.kernels.tiles import TILE_ROWS
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array


def sliced_convolutions(call: KernelCall, window: Window, target: Target) -> list[Implementation]:
    """The convolution of a call of cpu.conv2d patch by patch, where there is a kernel for it."""
    if not can_slice_window(window, target):
        return []
    (height, width), residual = window.output, call.operands[3:]
    tile_rows = _tile_rows(width)
    patches = window.batch * -(-height // ROW_TILES) * -(-width // tile_rows)
    blocks = blocks_of(window.channels)
    kernel = ConvolutionSlices(
        isa=target.isa,
        kernel=window.kernel,
        strides=window.strides,
        activation=(call["activation"], call["activation_parameters"]),
        residual=bool(residual),
    )
    chunks = min(patches, CHUNKS)
    return [
        Implementation(
            variant=f"{VARIANT}, patches",
            kernel=kernel,
            operands={"x": 0, **({"residual": 3} if residual else {})},
            constants=partial(_pack, tile_rows=tile_rows),
            sizes={
                "images": window.batch,
                "height": window.size[0],
                "width": window.size[1],
                "c": window.channels,
                "top": window.padding[0],
                "left": window.padding[1],
                "blocks": blocks,
                "result_height": height,
                "result_width": width,
                "n": window.features,
                "tile_rows": tile_rows,
            },
            chunks=chunks,
            workspace=chunks * kernel.workspace_bytes(blocks),
        )
    ]


def _tile_rows(width: int) -> int:
    """Pixels of a tile, so that those of a row overlap least."""
    return -(-width // -(-width // TILE_ROWS))


def _pack(arrays: Mapping[int, Array], tile_rows: int) -> dict[str, Array]:
    packed = pack_slices(np.asarray(arrays[1]))
    return {**packed, "bias": np.asarray(arrays[2]), "tiles": slice_tiles(tile_rows)}
