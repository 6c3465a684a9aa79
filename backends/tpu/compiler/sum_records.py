"""The instructions of a layer of sums, written by one compiled loop: they are thousands, and search wants them often.

What a layer's tiles are depends on its shape and mapping alone; tables of them are kept, whatever network they are in.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.compiler.mapping import PARAMETER_BYTES, Mapping, Shape, prod_pair, tiling, useful_weights
from nascompiler.backends.tpu.compiler.memory import aligned
from nascompiler.backends.tpu.isa import ActFlag, MmcFlag, Opcode
from nascompiler.backends.tpu.isa.registers import Register
from nascompiler.backends.tpu.kernel import kernel

PIECE = 512
"""Accumulator rows that one instruction fills: what is drained behind it is free again that soon."""

Numbers = NDArray[np.int64]

FIRST_CHANNEL, FIRST_FEATURE, CHANNELS, FEATURES, ROWS, COLUMNS = range(6)
"""Columns of a table of blocks."""

STATE = (Register.M_K, Register.M_CHANNELS, Register.A_PARAMETERS, Register.A_PATCH_CHANNELS)
"""Registers that change within a layer; `write_sum` keeps their values in this order, then the next accumulator row."""

_CFG, _RDW, _MMC, _ACT = int(Opcode.CFG), int(Opcode.RDW), int(Opcode.MMC), int(Opcode.ACT)
_NEW_TILE, _ACCUMULATE, _CONVOLVE = int(MmcFlag.NEW_TILE), int(MmcFlag.ACCUMULATE), int(MmcFlag.CONVOLVE)
_SCATTER = int(ActFlag.SCATTER)
_M_K, _M_CHANNELS, _A_PARAMETERS, _A_PATCH_CHANNELS = (int(register) for register in STATE)


@dataclass(frozen=True, eq=False)
class TileTable:
    """The tiles of a layer: `blocks` has a row for each block, `tiles` for each tile (useful weights that belong to
    the image, rows, byte offset from the first tile). `bytes` is what all take in weight memory."""

    blocks: Numbers
    tiles: Numbers
    bytes: int

    @property
    def resident(self) -> bool:
        """Whether every block has one tile, which stays in the array for all positions."""
        return len(self.tiles) == len(self.blocks)


@lru_cache(maxsize=4096)
def tile_table(shape: Shape, mapping: Mapping, tile_bytes: int) -> TileTable:
    """The tiles of a mapping on the array. `tile_bytes` is what one takes, 0: as much as its rows and columns do."""
    made = tiling(shape, mapping)
    # the part of the patches' pixels that belongs to the image; the rest is computed and thrown away
    inside = Fraction(shape.height * shape.width, prod_pair(made.grid) * prod_pair(mapping.patch))
    blocks, tiles, offset = [], [], 0
    for block in made.blocks:
        rows, columns = made.rows(block), made.columns(block)
        blocks.append((block.first_channel, block.first_feature, block.channels, block.features, rows, columns))
        for first in range(0, rows, mapping.side):
            count = min(mapping.side, rows - first)
            useful = useful_weights(shape, mapping, block, first, count) * inside
            tiles.append((round(useful), count, offset))
            offset = aligned(offset + (tile_bytes or count * columns * shape.weight_element))
    return TileTable(np.array(blocks, np.int64), np.array(tiles, np.int64), offset)


@kernel
def _configure(out: Numbers, count: int, state: Numbers, index: int, register: int, value: int) -> int:
    """Write a register that does not hold the value yet."""
    if state[index] == value:
        return count
    state[index] = value
    out[count] = 0
    out[count, 0] = _CFG
    out[count, 1] = 1
    out[count, 2] = register
    out[count, 3] = value
    return count + 1


@kernel
def _fetch(out: Numbers, count: int, flags: int, tile: Numbers, columns: int, dram: int) -> int:
    out[count, 0] = _RDW
    out[count, 1] = flags
    out[count, 2] = 1
    out[count, 3] = tile[1] | columns << 16
    out[count, 4] = tile[0] & 0xFFFF
    out[count, 5] = tile[0] >> 16
    out[count, 6] = (dram + tile[2]) // 64
    return count + 1


@kernel
def _pieces(start: int, end: int, most: int, place: int, found: Numbers) -> tuple[int, int]:
    """First position, rows and accumulator row of each piece, and the row after; what comes round begins a piece."""
    number = 0
    while start < end:
        rows = min(PIECE, end - start, most - place)
        found[number, 0] = start
        found[number, 1] = rows
        found[number, 2] = place
        place = (place + rows) % most
        start += rows
        number += 1
    return number, place


@kernel
def _rows(
    out: Numbers,
    count: int,
    opcode: int,
    flags: int,
    by_position: bool,
    piece: Numbers,
    base: int,
    stride: int,
    operand: int,
) -> int:
    """An instruction for the rows of a piece: they begin at a position of the grid, or at an address of their own."""
    out[count, 0] = opcode
    out[count, 1] = flags
    out[count, 2] = piece[2]
    out[count, 3] = base if by_position else base + piece[0] * stride
    out[count, 4] = piece[1]
    out[count, 5] = operand
    out[count, 6] = piece[0] if by_position else 0
    return count + 1


@kernel
def _multiply(out: Numbers, count: int, flags: int, piece: Numbers, base: int, stride: int, first_row: int) -> int:
    return _rows(out, count, _MMC, flags, flags & _CONVOLVE != 0, piece, base, stride, first_row)


@kernel
def _activate(
    out: Numbers,
    count: int,
    state: Numbers,
    flags: int,
    block: Numbers,
    piece: Numbers,
    base: int,
    stride: int,
    at: int,
) -> int:
    count = _configure(out, count, state, 2, _A_PARAMETERS, at)
    scatter = flags & _SCATTER != 0
    if scatter:
        count = _configure(out, count, state, 3, _A_PATCH_CHANNELS, block[FEATURES])
    return _rows(out, count, _ACT, flags, scatter, piece, base, stride, block[COLUMNS])


@kernel
def write_sum(
    blocks: Numbers,
    tiles: Numbers,
    state: Numbers,
    found: Numbers,
    out: Numbers,
    side: int,
    positions: int,
    accumulators: int,
    fetch_flags: int,
    dram: int,
    flags: int,
    read: Numbers,
    act_flags: int,
    write: Numbers,
    parameters: int,
) -> int:
    """Write the instructions of a layer to `out` and return how many there are.

    `read` and `write` are address, bytes between pixels and bytes of an element of operand and result; `state` is as
    STATE says, and changes; `found` has room for the pieces of all positions. Where every block has one tile, it stays
    in the array for all positions. Otherwise tiles come one after the other for as many positions as there are
    accumulators, then again for the next.
    """
    chunks = 1 if len(tiles) == len(blocks) else -(-positions // accumulators)
    size = -(-positions // chunks)
    count = 0
    for start in range(0, positions, size):
        end = min(start + size, positions)
        tile, lane = 0, 0
        for number in range(len(blocks)):
            block = blocks[number]
            count = _configure(out, count, state, 0, _M_K, block[ROWS])
            if flags & _CONVOLVE:
                count = _configure(out, count, state, 1, _M_CHANNELS, block[CHANNELS])
            pieces, state[4] = _pieces(start, end, accumulators, state[4], found)
            base = read[0] + block[FIRST_CHANNEL] * read[2]
            place = write[0] + block[FIRST_FEATURE] * write[2]
            at = parameters + lane * PARAMETER_BYTES
            single = block[ROWS] <= side and len(tiles) == len(blocks)
            for first_row in range(0, block[ROWS], side):
                count = _fetch(out, count, fetch_flags, tiles[tile], block[COLUMNS], dram)
                tile += 1
                for index in range(pieces):
                    own = flags | (_NEW_TILE if index == 0 else 0) | (_ACCUMULATE if first_row else 0)
                    count = _multiply(out, count, own, found[index], base, read[1], first_row)
                    if single:  # drained at once: nothing is added to it
                        count = _activate(out, count, state, act_flags, block, found[index], place, write[1], at)
            if not single:
                for index in range(pieces):
                    count = _activate(out, count, state, act_flags, block, found[index], place, write[1], at)
            lane += block[COLUMNS]
    return count
