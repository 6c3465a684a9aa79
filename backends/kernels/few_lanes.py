"""Vectors of neighbouring elements of which only the first few exist."""

from __future__ import annotations

from itertools import accumulate

from nascompiler.backends.cpu.tiling import lane_pieces
from nascompiler.backends.kernels.emitter import Emitter, Pointer, Vector


def load_few(e: Emitter, pointer: Pointer, lanes: int, few: int) -> Vector:
    """A vector whose lanes from `few` on repeat others; all are loaded when `few` is 0. Nothing else is read."""
    if not few:
        return e.load(pointer, lanes)
    whole: Vector | None = None
    for offset, piece in _pieces(few, lanes):
        part = e.load(pointer + offset, piece)
        part = e.shuffle(part, part, [min(max(i - offset, 0), piece - 1) for i in range(lanes)])
        whole = (
            part if whole is None else e.shuffle(whole, part, [i if i < offset else lanes + i for i in range(lanes)])
        )
    assert whole is not None
    return whole


def store_few(e: Emitter, vector: Vector, pointer: Pointer, few: int) -> None:
    """Store the first `few` lanes, or all when it is 0."""
    for offset, piece in _pieces(few, vector.lanes) if few else [(0, vector.lanes)]:
        e.store(e.part(vector, offset, piece), pointer + offset)


def _pieces(few: int, lanes: int) -> list[tuple[int, int]]:
    """Offsets and lengths of the pieces of so many elements, each a power of two."""
    pieces = lane_pieces(few, lanes)
    return list(zip(accumulate(pieces, initial=0), pieces, strict=False))
