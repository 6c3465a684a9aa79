"""The schedule of exact sums: a tile of accumulators in registers, channels innermost, the rounding right behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from nascompiler.backends.target import Isa
from nascompiler.backends.tvm_adapter.leftovers.quantized_sums import EXACT_SUMS

MOST_VECTORS = 6
"""Vectors of channels in a tile; more would leave no registers for pixels."""

MOST_PIXELS = 8
"""Pixels in a tile; they are unrolled."""

SHORTEST_VECTOR = 4
"""Elements from which a vector is worth its while."""

_CONVERSION = 3
"""Instructions to load and convert a vector of weights, for each multiply-add the pixels of the tile share it."""


@dataclass(frozen=True)
class Tile:
    """Accumulators kept in registers: `pixels` times `vectors` of `lanes` channels each."""

    pixels: int
    vectors: int
    lanes: int

    @property
    def channels(self) -> int:
        return self.vectors * self.lanes

    @property
    def cost(self) -> float:
        """Instructions for each multiply-add: inputs, weights, products."""
        instructions = self.pixels + _CONVERSION * self.vectors + self.pixels * self.vectors
        return instructions / (self.pixels * self.channels)


def divisors(size: int, most: int) -> list[int]:
    """The divisors of a size up to a limit."""
    return [d for d in range(1, min(size, most) + 1) if size % d == 0]


def choose_tile(pixels: int, channels: int, isa: Isa) -> Tile | None:
    """The tile of rows of `pixels` and `channels` that costs least and divides both; None: no vectors."""
    lanes = min(isa.lanes, channels & -channels)  # the largest power of two that divides the channels
    if lanes < SHORTEST_VECTOR:
        return None
    tiles = [
        Tile(p, v, lanes)
        for v in divisors(channels // lanes, MOST_VECTORS)
        for p in divisors(pixels, MOST_PIXELS)
        if p * v <= isa.accumulators
    ]
    return min(tiles, key=lambda tile: tile.cost)


def schedule_exact_sums(schedule: Any, block: Any, isa: Isa, share: Callable[[list[Any], list[Any]], None]) -> Any:
    """Compute a marked reduction tile by tile inside the loops that round it; returns the block of those.

    `share(outer, loops)` gives the outer loops of a nest to threads. The result is None when the reduction is of
    another form: it then stays as it was.
    """
    consumers = schedule.get_consumers(block)
    annotations = schedule.get(block).annotations
    if EXACT_SUMS not in annotations or len(consumers) != 1:
        return None
    (consumer,) = consumers
    loops, rank = schedule.get_loops(consumer), len(schedule.get(consumer).iter_vars)
    extents = [int(schedule.get(loop).extent) for loop in loops]
    sums = [int(schedule.get(loop).extent) for loop in schedule.get_loops(block)[:rank]]
    if len(loops) != rank or rank < 2 or extents != sums:
        return None
    tile = choose_tile(extents[-2], min(extents[-1], int(annotations[EXACT_SUMS])), isa)
    if tile is None or extents[-1] % tile.channels:
        return None

    pixels, pixel = schedule.split(loops[-2], [None, tile.pixels])
    channels, vector, lane = schedule.split(loops[-1], [None, tile.vectors, tile.lanes])
    schedule.reorder(*loops[:-2], pixels, channels, pixel, vector, lane)
    is_single = prod(extents[:-2]) * (extents[-2] // tile.pixels) == 1
    nest = schedule.get_loops(consumer) + schedule.get_loops(block)[rank:]
    share([channels] if is_single else [*loops[:-2], pixels], nest)
    around = schedule.get_loops(consumer)[:-3]
    schedule.set_scope(block, 0, "local")
    schedule.compute_at(block, around[-1], preserve_unit_loops=True)
    own = schedule.get_loops(block)[len(around) :]
    spatial, reduction = own[:rank], own[rank:]
    vectors, lanes = schedule.split(spatial[-1], [None, tile.lanes])
    schedule.reorder(*reduction, *spatial[:-1], vectors, lanes)
    for loop in (lane, lanes):
        schedule.vectorize(loop)
    start = schedule.decompose_reduction(block, reduction[0])
    *_, first_pixel, first_vector, first_lane = schedule.get_loops(start)
    schedule.vectorize(first_lane)
    for loop in (spatial[-2], vectors, first_pixel, first_vector):
        schedule.unroll(loop)
    return consumer
