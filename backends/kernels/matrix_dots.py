"""Exact sums of products of bytes by products of small matrices (i8mm): two rows of eight terms by two columns."""

from __future__ import annotations

from collections.abc import Sequence

from nascompiler.backends.kernels.dots import Dots
from nascompiler.backends.kernels.emitter import Emitter, Number, Pointer, Vector
from nascompiler.ir.types import DType

MATRIX_DOTS = Dots(8, DType.I8, DType.I8)
"""How rows and weights lie: eight terms of a column together, columns in pairs."""

_TERMS = 8


def add_matrix_dots(
    e: Emitter, rows: Sequence[Pointer], weight: Pointer, groups: Number, offsets: Sequence[Vector]
) -> list[Vector]:
    """For each row and each vector of columns, `offsets` of the columns plus the products of `groups` groups of terms.

    weight is [groups, columns] as MATRIX_DOTS packs it. Rows are taken in pairs; an odd one counts twice.
    """
    width = 4 * len(offsets)
    pairs = [(row, rows[min(i + 1, len(rows) - 1)]) for i, row in enumerate(rows) if i % 2 == 0]
    start = [e.shuffle(o, o, [2 * half, 2 * half + 1] * 2) for o in offsets for half in range(2)] * len(pairs)

    def steps(start: Number, count: int, sums: Sequence[Vector]) -> list[Vector]:
        at = e.index(start) * _TERMS
        values = [[e.load(row + at, count * _TERMS) for row in pair] for pair in pairs]
        for i in range(count):
            lanes = [*range(i * _TERMS, (i + 1) * _TERMS)]
            both = [*lanes, *(count * _TERMS + lane for lane in lanes)]
            rows_of_terms = [e.shuffle(first, second, both) for first, second in values]
            place = weight + e.index(start) * (width * _TERMS) + i * width * _TERMS
            columns = [e.load(place + c * 2 * _TERMS, 2 * _TERMS) for c in range(width // 2)]
            added: list[Vector] = []
            for terms in rows_of_terms:
                added += [e.multiply_matrices(sums[len(added) + c], terms, w) for c, w in enumerate(columns)]
            sums = added
        return list(sums)

    whole = e.index(groups) // 2 * 2
    with e.loop(0, whole, 2, start, unroll=1) as loop:
        loop.values = steps(loop.index, 2, loop.values)
    with e.loop(whole, groups, 1, loop.values, unroll=1) as rest:
        rest.values = steps(rest.index, 1, rest.values)
    made: list[Vector] = []
    for number, _ in enumerate(rows):
        pair, second = divmod(number, 2)
        quads = rest.values[pair * (width // 2) : (pair + 1) * (width // 2)]
        lanes = [2 * second, 2 * second + 1, 4 + 2 * second, 5 + 2 * second]
        made += [e.shuffle(quads[2 * v], quads[2 * v + 1], lanes) for v in range(len(offsets))]
    return made
