"""Depthwise convolution of 8-bit images by dot products of four bytes, in registers, for windows of at most four rows.

Four rows of a column of the image are woven into quads, in which each lane has the four rows of a channel; one
instruction then sums a column of the window. Weights are shifted within their quads to make neighbouring rows of the
result of the same quads. Nothing is staged: the columns that a tile shares stay in registers, and what lies outside of
the image is read from a vector of zero points.

It is for processors with 32 registers of 16 bytes, where multiplying is not dearer than weaving (ARM's dotprod);
`depthwise_int8` is for all windows and all processors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.depthwise_int8 import QUAD, sign_shift, weave
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import PackedRequantizer, Requantization
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class DepthwiseQuads(Kernel):
    """result [batch, out_height, out_width, channels] of x [batch, height, width, channels], at least 16 channels.

    `rows` rows of the image make `band` rows of the result, at most four and out_height; a tile has `pixels` columns of
    them, out_width at most. weight holds, for each of the `blocks` of 16 channels, row of a band and column of the
    window, the quads of the block's lanes; offset the bias less the zero point's share, for each channel of a block;
    padding the zero point of x 16 times. The last block, tile and band overlap the ones before.
    """

    x_dtype: DType
    requantization: Requantization
    pixels: int
    band: int
    rows: int
    kernel_width: int
    stride_x: int

    name: ClassVar[str] = "depthwise_quads"

    @property
    def pointers(self) -> Mapping[str, DType]:
        read = {"x": self.x_dtype, "padding": self.x_dtype, "weight": DType.I32, "offset": DType.I32}
        return {**read, **self.requantization.pointers, "result": self.requantization.dtype}

    @property
    def sizes(self) -> tuple[str, ...]:
        geometry = ("batch", "height", "width", "channels", "out_height", "out_width")
        return (*geometry, "stride_y", "padding_y", "padding_x", "blocks", *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        requantizer = self.requantization.prepare_packed(e, p, n)
        lanes = QUAD * e.isa.lanes
        bands = (n["out_height"] + (self.band - 1)) // self.band
        first, last = share(e, n["batch"] * bands, n)
        with e.loop(first, last) as item:
            image = item.index // bands
            row = e.index(e.smaller(item.index % bands * self.band, n["out_height"] - self.band))
            top = row * n["stride_y"] - n["padding_y"]
            with e.loop(0, n["blocks"]) as block:
                channel = e.index(e.smaller(block.index * lanes, n["channels"] - lanes))
                x = p["x"] + image * (n["height"] * n["width"] * n["channels"]) + channel
                lines = [_Line.at(x, top + i, p["padding"], n) for i in range(self.rows)]
                result = p["result"] + (image * n["out_height"] + row) * (n["out_width"] * n["channels"]) + channel
                work = _Tile(
                    self,
                    e,
                    lines,
                    p["weight"] + block.index * (lanes * self.kernel_width * self.band),
                    p["offset"] + block.index * lanes,
                    p["scale"] + block.index * lanes,
                    requantizer,
                )
                with e.loop(0, n["out_width"], self.pixels) as tile:
                    column = e.index(e.smaller(tile.index, n["out_width"] - self.pixels))
                    left = column * self.stride_x - n["padding_x"]
                    work.emit(left, result + column * n["channels"], n)


@dataclass(frozen=True)
class _Line:
    """A row of the image: column 0 of it, and how far apart columns are; zero points all along where there is none."""

    start: Pointer
    step: Index
    padding: Pointer

    @classmethod
    def at(cls, x: Pointer, y: Index, padding: Pointer, n: Mapping[str, Index]) -> _Line:
        e, inside = x.emitter, y.is_below(n["height"])
        start = e.choose_pointer(inside, x + y * (n["width"] * n["channels"]), padding)
        return cls(start, e.choose(inside, n["channels"], 0), padding)

    def column(self, index: Index, width: Index) -> Pointer:
        """Where a column is read."""
        return self.start.emitter.choose_pointer(index.is_below(width), self.start + index * self.step, self.padding)


@dataclass(frozen=True)
class _Tile:
    """Emits neighbouring pixels of the rows of a band, for a block of channels."""

    kernel: DepthwiseQuads
    e: Emitter
    lines: Sequence[_Line]
    weight: Pointer
    offset: Pointer
    scale: Pointer
    requantizer: PackedRequantizer

    def emit(self, left: Index, result: Pointer, n: Mapping[str, Index]) -> None:
        """The pixels whose windows begin at the column `left`; the first is stored at `result`."""
        kernel = self.kernel
        columns: list[list[Vector]] = []
        for pixel in range(kernel.pixels):
            start = pixel * kernel.stride_x
            while len(columns) < start + kernel.kernel_width:
                columns.append(self._column(left + len(columns), n))
            window = columns[start : start + kernel.kernel_width]
            for row in range(kernel.band):
                at = result + (n["out_width"] * row + pixel) * n["channels"]
                self.e.store(self._results(window, row), at)

    def _column(self, index: Index, n: Mapping[str, Index]) -> list[Vector]:
        """The quads of a column of the image, a vector for each four channels."""
        e, kernel = self.e, self.kernel
        flip = sign_shift(e.isa, kernel.x_dtype)
        rows = [e.load(line.column(index, n["width"]), QUAD * e.isa.lanes) for line in self.lines]
        rows = [row ^ flip if flip else row for row in rows]
        rows += [rows[-1]] * (QUAD - len(rows))  # their weights are zero
        return weave(e, rows)

    def _results(self, window: Sequence[Sequence[Vector]], row: int) -> Vector:
        """The bytes of a pixel in a row of the band. What they are made with is loaded: registers hold columns."""
        e, lanes = self.e, self.e.isa.lanes
        offset, scale = (e.opaque_pointer(pointer) for pointer in (self.offset, self.scale))
        weight = e.opaque_pointer(self.weight) + row * self.kernel.kernel_width * QUAD * lanes
        sums = [e.load(offset + v * lanes, lanes) for v in range(QUAD)]
        for tap, quads in enumerate(window):
            weights = [e.load(weight + (tap * QUAD + v) * lanes, lanes) for v in range(QUAD)]
            sums = [e.dot_bytes(s, q, w) for s, q, w in zip(sums, quads, weights, strict=True)]
        return self.requantizer(sums, [e.load(scale + v * lanes, lanes) for v in range(QUAD)])
