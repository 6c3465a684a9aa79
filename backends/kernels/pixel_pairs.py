"""Products of pixels in pairs: a vector has half as many columns as lanes, each of one pixel and of the other in turns.

Where columns end with half a vector, as 24 and 40 do with 16 lanes, a product of single pixels computes the other half
for nothing: a quarter of all multiply-adds of 24 columns. Two pixels share their vectors without a rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nascompiler.backends.kernels.activation import Activation, activate
from nascompiler.backends.kernels.emitter import Emitter, Number, Pointer, Vector
from nascompiler.ir.types import Array

STEPS = 2
"""Terms between two branches."""


def halves_of(columns: int, lanes: int) -> int:
    """Halves of a vector that columns fill, 0 where they are no odd number of them."""
    halves, rest = divmod(columns, max(lanes // 2, 1))
    return halves if lanes > 1 and not rest and halves % 2 else 0


def store_pairs(e: Emitter, pixels: Sequence[Vector], targets: Sequence[Pointer]) -> None:
    """Store a vector of terms of each pixel, those of neighbours in turns: two vectors for each target."""
    lanes = pixels[0].lanes
    turns = [i // 2 + i % 2 * lanes for i in range(2 * lanes)]
    for a, b, target in zip(pixels[::2], pixels[1::2], targets, strict=True):
        e.store(e.shuffle(a, b, turns[:lanes]), target)
        e.store(e.shuffle(a, b, turns[lanes:]), target + lanes)


def multiply_pairs(e: Emitter, pairs: Sequence[Pointer], weight: Pointer, k: Number, halves: int) -> list[list[Vector]]:
    """For each pair [k, 2], sums over k times weight [k, halves, lanes], as `pack_pairs` makes it."""
    lanes = e.isa.lanes
    nothing = [e.constant(0, lanes)] * (len(pairs) * halves)

    def steps(start: Number, count: int, sums: Sequence[Vector]) -> list[Vector]:
        for step in range(count):
            at = weight + (e.index(start) + step) * (halves * lanes)
            columns = [e.load(at + h * lanes, lanes) for h in range(halves)]
            added = []
            for i, pair in enumerate(pairs):
                both = e.load(pair + (e.index(start) + step) * 2, 2)
                terms = e.shuffle(both, both, [0, 1] * (lanes // 2))
                added += [e.multiply_add(terms, c, sums[i * halves + h]) for h, c in enumerate(columns)]
            sums = added
        return list(sums)

    whole = e.index(k) // STEPS * STEPS
    with e.loop(0, whole, STEPS, nothing, unroll=1) as loop:
        loop.values = steps(loop.index, STEPS, loop.values)
    with e.loop(whole, k, 1, loop.values, unroll=1) as rest:
        rest.values = steps(rest.index, 1, rest.values)
    return [rest.values[i * halves : (i + 1) * halves] for i in range(len(pairs))]


def finish_pairs(
    e: Emitter,
    sums: Sequence[Sequence[Vector]],
    bias: Pointer,
    residuals: Sequence[Pointer] | None,
    results: Sequence[Pointer],
    activation: Activation,
) -> None:
    """Store activation(sums + bias + residual) of each pixel of each pair; residuals and results say where they are."""
    lanes = e.isa.lanes
    for number, halves in enumerate(sums):
        for second in range(2):
            pixel = 2 * number + second
            for first in range(0, len(halves), 2):
                met = halves[first : first + 2]
                own = range(second, len(met) * lanes, 2)
                value = e.shuffle(met[0], met[-1], own)
                at = first * (lanes // 2)
                value = value + e.load(bias + at, len(own))
                if residuals is not None:
                    value = value + e.load(residuals[pixel] + at, len(own))
                e.store(activate(e, value, activation), results[pixel] + at)


def pack_pairs(weight: Array) -> Array:
    """Weights [K, N] as [K, N, 2]: each column for both pixels of a pair."""
    return np.repeat(weight, 2, axis=1).reshape(-1)
