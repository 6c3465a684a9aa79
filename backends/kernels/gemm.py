"""Float32 matrix product with packed weights: pointwise convolutions and fully connected layers of many rows.

A register tile is `rows` rows by a panel of columns. Panels are `vectors` vectors wide, the last ones one vector less,
so that no panel is so narrow that it waits for its own sums. Nothing is masked: the last tile of rows and the last
vector of columns overlap the one before, and what they share is computed twice, to the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import ClassVar

import numpy as np

from nascompiler.backends.cpu.tiling import lane_pieces
from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, Rows, Sizes, share
from nascompiler.ir.types import Array, DType

LINE, AHEAD = 16, 1024
"""Floats of a cache line, and how far ahead weights are asked for: they come from afar when they are met first."""

UNROLL = 2
"""Steps over the inner dimension between two branches."""

LANE_STEPS = 4
"""The same where multiply-adds take a lane: a vector of each row is loaded for as many steps as it has lanes."""


@dataclass(frozen=True)
class Panels:
    """How `columns` are cut: `wide` panels of `vectors` vectors, then `narrow` ones of one vector less."""

    columns: int
    lanes: int
    vectors: int
    wide: int
    narrow: int

    @classmethod
    def of(cls, columns: int, lanes: int, vectors: int) -> Panels | None:
        """The cut with the fewest narrow panels, or None when there is none."""
        total = -(-columns // lanes)
        for narrow in range(vectors):
            rest = total - narrow * (vectors - 1)
            if rest >= 0 and rest % vectors == 0 and (vectors > 1 or narrow == 0):
                return cls(columns, lanes, vectors, rest // vectors, narrow)
        return None

    def pack(self, weight: Array) -> Array:
        """Weights [K, N] as one vector: panel by panel, each [K, width]; columns that are missing are zero."""
        if self.columns < self.lanes:
            weight = np.pad(weight, ((0, 0), (0, self.lanes - self.columns)))
        vectors = [self.vectors] * self.wide + [self.vectors - 1] * self.narrow
        last = weight.shape[1] - self.lanes
        blocks, start = [], 0
        for count in vectors:
            columns = [np.arange(self.lanes) + min(start + v * self.lanes, last) for v in range(count)]
            blocks.append(weight[:, np.concatenate(columns)].reshape(-1))
            start += count * self.lanes
        return np.concatenate(blocks)


@dataclass(frozen=True)
class Gemm(Kernel):
    """result [m, n] = activation(x [m, k] * gate [k] @ weight [k, n] + bias [n] + residual [m, n]), m >= rows.

    `columns` is n where it is less than a vector, otherwise 0. All rows meet `block` panels before the next ones: so
    many that their weights stay in the cache. With a `gate` [images, k] there are `images` times m rows, and workspace
    has room for each chunk to multiply by it the k floats of each row of a tile (k is at least a vector), which then
    meets all panels, or with `panels_outside` those of each column of a panel, which then meets all rows.
    """

    rows: int
    vectors: int
    activation: Activation = NONE
    residual: bool = False
    gate: bool = False
    panels_outside: bool = False
    columns: int = 0

    name: ClassVar[str] = "gemm_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        names = ["x", "weight", "bias"]
        names += ["residual"] * self.residual + ["gate"] * self.gate + ["result"] + ["workspace"] * self.gate
        return dict.fromkeys(names, DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return ("m", "n", "k", "wide", "narrow", "images" if self.gate else "block")

    def some_rows(self, sizes: Sizes, height: int, first: int, last: int) -> Rows | None:
        made = Rows.of_pixels(sizes, first, last, height)
        return made if not self.gate and made.sizes["m"] >= self.rows else None

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        panels = n["wide"] + n["narrow"]
        tiles = (n["m"] + (self.rows - 1)) // self.rows
        if not self.gate:
            self._blocks(e, p, n, panels, tiles)
        elif self.panels_outside:
            first, last = share(e, panels, n)
            each_panel(e, self.vectors, n["wide"], first, last, partial(self._all_rows, e, p, n, tiles))
        else:
            self._all_panels(e, p, n, panels, tiles)

    def _blocks(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], panels: Index, tiles: Index
    ) -> None:
        """Blocks of panels, in each of them tiles of rows."""
        blocks = (panels + n["block"] - 1) // n["block"]
        first, last = share(e, blocks * tiles, n)
        with e.loop(first, last) as loop:
            row = e.smaller(loop.index % tiles * self.rows, n["m"] - self.rows)
            start = loop.index // tiles * n["block"]

            def panel(column: Index, vectors: int) -> None:
                weight = p["weight"] + column * n["k"]
                self._tile(e, p, n, row, p["x"] + row * n["k"], weight, column, vectors)

            each_panel(e, self.vectors, n["wide"], start, e.smaller(start + n["block"], panels), panel)

    def _all_panels(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], panels: Index, tiles: Index
    ) -> None:
        """Tiles of rows, multiplied by the gate, by all panels."""
        first, last = share(e, tiles * n["images"], n)
        with e.loop(first, last) as loop:
            image, number = loop.index // tiles, loop.index % tiles
            row = e.smaller(number * self.rows, n["m"] - self.rows) + image * n["m"]
            staged = p["workspace"] + n["chunk"] * (n["k"] * self.rows)
            _scale_rows(e, p["x"] + row * n["k"], p["gate"] + image * n["k"], staged, self.rows, n["k"])

            def panel(column: Index, vectors: int) -> None:
                self._tile(e, p, n, row, staged, p["weight"] + column * n["k"], column, vectors)

            each_panel(e, self.vectors, n["wide"], 0, panels, panel)

    def _all_rows(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        tiles: Index,
        column: Index,
        vectors: int,
    ) -> None:
        """All rows by one panel, multiplied by the gate."""
        weight = p["weight"] + column * n["k"]
        with e.loop(0, n["images"]) as image:
            panel = p["workspace"] + n["chunk"] * (n["k"] * (self.vectors * e.isa.lanes))
            _scale_columns(e, weight, p["gate"] + image.index * n["k"], panel, n["k"], vectors)
            with e.loop(0, tiles) as loop:
                row = e.smaller(loop.index * self.rows, n["m"] - self.rows) + image.index * n["m"]
                self._tile(e, p, n, row, p["x"] + row * n["k"], panel, column, vectors)

    def _tile(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        row: Number,
        x: Pointer,
        weight: Pointer,
        column: Index,
        vectors: int,
    ) -> None:
        sums = multiply_tile(e, [x + n["k"] * i for i in range(self.rows)], weight, n["k"], vectors)
        finish_tile(
            e,
            sums,
            column,
            n["n"],
            bias=p["bias"],
            residual=p["residual"] + row * n["n"] if self.residual else None,
            result=p["result"] + row * n["n"],
            row_length=n["n"],
            activation=self.activation,
            columns=self.columns,
        )


def each_panel(
    e: Emitter, vectors: int, wide: Number, first: Number, last: Number, body: Callable[[Index, int], None]
) -> None:
    """`body(first column, vectors)` for panels `first` to `last`, of which the first `wide` are `vectors` wide."""
    lanes = e.isa.lanes
    with e.loop(first, e.smaller(last, wide)) as loop:
        body(loop.index * (vectors * lanes), vectors)
    if vectors > 1:
        with e.loop(e.larger(first, wide), last) as loop:
            body((loop.index * (vectors - 1) + wide) * lanes, vectors - 1)


def multiply_tile(e: Emitter, rows: Sequence[Pointer], weight: Pointer, k: Number, vectors: int) -> list[list[Vector]]:
    """Sums over k of x[row][k] * weight[k][column], for each row and each vector of columns; weight is [k, columns]."""
    sums = add_products(e, rows, weight, k, [e.constant(0, e.isa.lanes)] * (len(rows) * vectors))
    return [sums[i * vectors : (i + 1) * vectors] for i in range(len(rows))]


def add_products(
    e: Emitter, rows: Sequence[Pointer], weight: Pointer, k: Number, sums: Sequence[Vector], divisor: int = 0
) -> list[Vector]:
    """`sums`, row by row, plus what `multiply_tile` computes; `divisor` of k is how many steps stand in a row."""
    lanes = e.isa.lanes
    vectors = len(sums) // len(rows)
    width = vectors * lanes

    def steps(start: Index, count: int, sums: Sequence[Vector]) -> list[Vector]:
        for step in range(count):
            at = weight + start * width + step * width
            columns = [e.load(at + v * lanes, lanes) for v in range(vectors)]
            if not e.multiplies_by_lane:
                for v in range(0, width, LINE):
                    e.prefetch(at + (AHEAD + v))
            added = []
            for i, row in enumerate(rows):
                value = e.broadcast(row + start + step, lanes)
                added += [e.multiply_add(value, c, sums[i * vectors + v]) for v, c in enumerate(columns)]
            sums = added
        return list(sums)

    def steps_by_lanes(start: Index, sums: Sequence[Vector]) -> list[Vector]:
        values = [e.load(row + start, LANE_STEPS) for row in rows]
        for step in range(LANE_STEPS):
            at = weight + start * width + step * width
            columns = [e.load(at + v * lanes, lanes) for v in range(vectors)]
            added = []
            for i, value in enumerate(values):
                factor = e.splat_lane(value, step, lanes)
                added += [e.multiply_add(factor, c, sums[i * vectors + v]) for v, c in enumerate(columns)]
            sums = added
        return list(sums)

    if divisor:
        with e.loop(0, k, divisor, sums, unroll=1) as loop:
            loop.values = steps(loop.index, divisor, loop.values)
        return loop.values
    unroll = LANE_STEPS if e.multiplies_by_lane else UNROLL
    whole = e.index(k) // unroll * unroll
    with e.loop(0, whole, unroll, sums, unroll=1) as loop:
        by_lanes = e.multiplies_by_lane
        loop.values = steps_by_lanes(loop.index, loop.values) if by_lanes else steps(loop.index, unroll, loop.values)
    with e.loop(whole, k, 1, loop.values, unroll=1) as rest:
        rest.values = steps(rest.index, 1, rest.values)
    return rest.values


def finish_tile(
    e: Emitter,
    sums: Sequence[Sequence[Vector]],
    column: Index,
    features: Number,
    *,
    bias: Pointer,
    residual: Pointer | None,
    result: Pointer,
    row_length: Number,
    activation: Activation,
    columns: int,
) -> None:
    """Store activation(sums + bias + residual) of rows of `row_length` elements, from `column` of `features` on.

    The last vector moves back to end with the features; `columns` is their number where it is less than a vector.
    """
    lanes = e.isa.lanes
    places: list[Number] = [column + v * lanes for v in range(len(sums[0]))]
    pieces = [(0, lanes)]
    if columns:
        pieces = list(zip_offsets(lane_pieces(columns, lanes)))
    else:
        places[-1] = e.smaller(places[-1], features - lanes)
    biases = [e.load(bias + place, lanes) for place in places]
    for i, row in enumerate(sums):
        for total, place, constant in zip(row, places, biases, strict=True):
            value = total + constant
            for offset, piece in pieces:
                at = row_length * i + place + offset
                part = value if piece == lanes else e.part(value, offset, piece)
                if residual is not None:
                    part = part + e.load(residual + at, piece)
                e.store(activate(e, part, activation), result + at)


def zip_offsets(pieces: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Offset and length of each piece."""
    yield from zip(accumulate(pieces, initial=0), pieces, strict=False)


def _scale_rows(e: Emitter, x: Pointer, gate: Pointer, staged: Pointer, rows: int, k: Index) -> None:
    """staged [rows, k] = x [rows, k] * gate [k]; k is at least a vector."""
    lanes = e.isa.lanes
    with e.loop(0, k, lanes) as loop:
        at = e.smaller(loop.index, k - lanes)
        factor = e.load(gate + at, lanes)
        places = [k * i + at for i in range(rows)]
        values = [e.load(x + place, lanes) * factor for place in places]
        for place, value in zip(places, values, strict=True):
            e.store(value, staged + place)


def _scale_columns(e: Emitter, weight: Pointer, gate: Pointer, scaled: Pointer, k: Index, vectors: int) -> None:
    """scaled [k, vectors] = weight [k, vectors] * gate [k]."""
    lanes = e.isa.lanes
    with e.loop(0, k, unroll=4) as loop:
        factor = e.broadcast(gate + loop.index, lanes)
        for v in range(vectors):
            at = (loop.index * vectors + v) * lanes
            e.store(e.load(weight + at, lanes) * factor, scaled + at)
