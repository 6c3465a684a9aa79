"""Depthwise convolution of 8-bit images, exact, with requantisation.

Rows of the input are first staged, for a block of channels and some columns: a piece that fits the nearest cache, with
the padding written out, so that the sums know no edges. Where the processor sums products of four bytes, a staged
element holds four rows of a channel (a quad), and a kernel of 3 rows takes one instruction for each column; the weights
are shifted within the quads to make neighbouring rows of the result from the same quads. Elsewhere elements are
float32, in which these sums are exact.

Blocks are wide (four vectors, whose channels are interleaved as byte unpacking leaves them) or narrow (one vector).
The last block overlaps the one before, and so do the last columns and rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.dots import Dots
from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer, Vector
from nascompiler.backends.kernels.few_lanes import load_few, store_few
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import PackedRequantizer, Requantization, Requantizer
from nascompiler.backends.target import Isa
from nascompiler.ir.types import DType

QUAD = 4
"""Rows of a staged element, and vectors of a wide block."""


def has_quads(isa: Isa) -> bool:
    """Whether staged elements are quads of bytes; otherwise they are float32."""
    return "vnni" in isa.dots or "dotprod" in isa.dots


def sign_shift(isa: Isa, x: DType) -> int:
    """What staged bytes exceed those of type `x` by: quads are of the type that the processor multiplies."""
    return Dots.of(isa).shift(x) if has_quads(isa) else 0


def wide_channels(lanes: int) -> list[int]:
    """The channels of a wide block in the order of its vectors' lanes."""
    return [QUAD * QUAD * (i // QUAD) + QUAD * v + i % QUAD for v in range(QUAD) for i in range(lanes)]


@dataclass(frozen=True)
class DepthwiseInt8(Kernel):
    """result [batch, out_height, out_width, channels] of x [batch, height, width, channels].

    `x_dtype` is i8 or u8; `pixels` columns of the result make a register tile of a narrow block, out_width at most, and
    at most four one of a wide block; `few` is the number of channels where it is less than a vector, otherwise 0.

    offset holds, for each channel of each block, what a sum gets added: the bias, less the zero point's share. weight
    holds for each block, then for each row of a band (quads only), group, kernel column and vector, the lanes' weights.
    Sizes: `groups` quads or rows of the kernel; `staged_rows` quads or rows that `band` rows of the result need;
    `tile` columns staged together; `run` bands for each of which a block is computed before the next block; `fill` is
    the zero point of x as four bytes, as staged; `share` elements of workspace for each chunk.
    """

    x_dtype: DType
    requantization: Requantization
    pixels: int
    few: int = 0

    name: ClassVar[str] = "depthwise_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        quads = has_quads(self.isa)
        return {
            "x": self.x_dtype,
            "weight": DType.I32 if quads else DType.F32,
            "offset": DType.I32,
            **self.requantization.pointers,
            "result": self.requantization.dtype,
            "workspace": DType.I32 if quads else DType.F32,
        }

    @property
    def sizes(self) -> tuple[str, ...]:
        geometry = ["batch", "height", "width", "channels", "out_height", "out_width", "kernel_width"]
        steps = [f"{name}_{axis}" for name in ("stride", "padding", "dilation") for axis in "yx"]
        cut = ["groups", "staged_rows", "band", "tile", "run", "wide", "narrow", "share", "fill"]
        return (*geometry, *steps, *cut, *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = e.isa.lanes
        bands = (n["out_height"] + (n["band"] - 1)) // n["band"]
        runs = (bands + (n["run"] - 1)) // n["run"]
        kinds = [(1, n["wide"], n["narrow"])]
        if has_quads(e.isa) and not self.few:
            kinds = [(QUAD, e.index(0), n["wide"]), (1, n["wide"], n["narrow"])]
        requantizer: Requantizer | PackedRequantizer
        if has_quads(e.isa):
            requantizer = self.requantization.prepare_packed(e, p, n)
        else:
            requantizer = self.requantization.prepare(e, p, n, lanes)
        first, last = share(e, n["batch"] * runs, n)
        with e.loop(first, last) as item:
            image = item.index // runs
            start = item.index % runs * n["run"]
            stop = e.smaller(start + n["run"], bands)
            for vectors, before, count in kinds:
                with e.loop(0, count) as block:
                    place = _Block.at(e, p, n, vectors, block.index, before)
                    work = _Band(self, e, p, n, place, requantizer)
                    with e.loop(start, stop) as band:
                        work.emit(image, e.index(e.smaller(band.index * n["band"], n["out_height"] - n["band"])))


@dataclass(frozen=True)
class _Block:
    """A block of channels: how many vectors, the first channel, and where its constants are."""

    vectors: int
    channel: Index
    weight: Pointer
    offset: Pointer
    scale: Pointer

    @classmethod
    def at(
        cls, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], vectors: int, index: Index, wide: Index
    ) -> _Block:
        """Block `index` of those with so many vectors; `wide` ones stand in front of them."""
        lanes = e.isa.lanes
        taps = n["groups"] * n["kernel_width"] * (n["band"] if has_quads(e.isa) else 1)
        before = (wide * QUAD + index * vectors) * lanes
        channel = e.index(e.larger(e.smaller(before, n["channels"] - vectors * lanes), 0))
        return cls(vectors, channel, p["weight"] + before * taps, p["offset"] + before, p["scale"] + before)


@dataclass(frozen=True)
class _Band:
    """Emits some rows of the result for a block of channels."""

    kernel: DepthwiseInt8
    e: Emitter
    p: Mapping[str, Pointer]
    n: Mapping[str, Index]
    block: _Block
    requantizer: Requantizer | PackedRequantizer

    def emit(self, image: Index, row: Index) -> None:
        """The rows from `row` on of an image: some columns at a time are staged, then summed."""
        e, n = self.e, self.n
        staged = self.p["workspace"] + n["chunk"] * n["share"]
        with e.loop(0, n["out_width"], n["tile"]) as loop:
            column = e.index(e.smaller(loop.index, n["out_width"] - n["tile"]))
            x = self.p["x"] + image * (n["height"] * n["width"] * n["channels"]) + self.block.channel
            self._stage(x, row * n["stride_y"] - n["padding_y"], column * n["stride_x"] - n["padding_x"], staged)
            result = (image * n["out_height"] + row) * n["out_width"] + column
            self._sum_rows(staged, self.p["result"] + result * n["channels"] + self.block.channel)

    @property
    def _staged_width(self) -> Index:
        n = self.n
        return (n["tile"] - 1) * n["stride_x"] + (n["kernel_width"] - 1) * n["dilation_x"] + 1

    @property
    def _element(self) -> int:
        """Lanes that a pixel has in the stage."""
        return self.block.vectors * self.e.isa.lanes

    # staging

    def _stage(self, x: Pointer, top: Index, left: Index, staged: Pointer) -> None:
        """Stage the rows from `top` and the columns from `left` on, which may lie outside of the image."""
        e, n = self.e, self.n
        width = self._staged_width
        inside = e.index(e.larger(0 - left, 0))
        outside = e.larger(e.smaller(n["width"] - left, width), inside)
        inside = e.index(e.smaller(inside, width))
        rows = QUAD if has_quads(e.isa) else 1
        lanes = self._element if has_quads(e.isa) else e.isa.lanes
        with e.loop(0, n["staged_rows"]) as group:
            sources = [self._row(x, top + (group.index * rows + i) * n["dilation_y"], lanes) for i in range(rows)]
            line = staged + group.index * width * self._element
            with e.loop(inside, outside) as loop:
                place = (left + loop.index) * n["channels"]
                values = [(self._load(row + place, lanes) & mask) ^ fill for row, mask, fill in sources]
                self._store(values, line + loop.index * self._element)
            padding = [e.bits(e.splat_index(n["fill"], lanes // 4), DType.U8)] * rows
            for start, stop in ((0, inside), (outside, width)):
                with e.loop(start, stop) as loop:
                    self._store(padding, line + loop.index * self._element)

    def _row(self, x: Pointer, y: Index, lanes: int) -> tuple[Pointer, Vector, Vector]:
        """A row of the image, or any where there is none, with what bytes are and-ed with, then xor-ed with.

        Bytes become signed or unsigned as they are multiplied; rows outside become the zero point.
        """
        e, n = self.e, self.n
        flip = -0x7F7F7F80 if sign_shift(e.isa, self.kernel.x_dtype) else 0
        below = e.index(n["height"]) > y
        mask = e.choose(y >= 0, e.choose(below, -1, 0), 0)
        fill = e.choose(mask < 0, flip, n["fill"])
        clamped = e.larger(e.smaller(y, n["height"] - 1), 0)
        ands, xors = (e.bits(e.splat_index(number, lanes // 4), DType.U8) for number in (mask, fill))
        return x + clamped * (n["width"] * n["channels"]), ands, xors

    def _load(self, pointer: Pointer, lanes: int) -> Vector:
        """Bytes of neighbouring channels; what is missing of few ones is anything."""
        return load_few(self.e, pointer.cast(DType.U8), lanes, self.kernel.few)

    def _store(self, rows: Sequence[Vector], staged: Pointer) -> None:
        """Store a pixel of some rows as it is staged."""
        e, lanes = self.e, self.e.isa.lanes
        if not has_quads(e.isa):
            (row,) = rows
            e.store(e.convert(e.bits(row, self.kernel.x_dtype), DType.F32), staged)
        elif self.block.vectors == 1:
            first, *others = (e.convert(row, DType.I32) for row in rows)
            for i, other in enumerate(others):
                first = first | (other << 8 * (i + 1))
            e.store(first, staged)
        else:
            for v, quad in enumerate(weave(e, rows)):
                e.store(quad, staged + v * lanes)

    # sums

    def _sum_rows(self, staged: Pointer, result: Pointer) -> None:
        """The band's rows from the stage; `result` is where the first pixel of the first row goes."""
        e, n, vectors = self.e, self.n, self.block.vectors
        pixels = self.kernel.pixels if vectors == 1 else min(self.kernel.pixels, QUAD)
        offsets, scales = (
            [e.load(pointer + v * e.isa.lanes, e.isa.lanes) for v in range(vectors)]
            for pointer in (self.block.offset, self.block.scale)
        )
        with e.loop(0, n["band"]) as row:
            weight, line = self.block.weight, staged
            if has_quads(e.isa):
                weight = weight + row.index * (n["groups"] * n["kernel_width"] * self._element)
            else:
                line = line + row.index * (n["stride_y"] * self._staged_width * self._element)
            target = result + row.index * (n["out_width"] * n["channels"])
            with e.loop(0, n["tile"], pixels) as tile:
                column = e.index(e.smaller(tile.index, n["tile"] - pixels))
                sums = self._sums(line + column * (n["stride_x"] * self._element), weight, offsets, pixels)
                self._store_results(sums, scales, target + column * n["channels"])

    def _sums(self, staged: Pointer, weight: Pointer, offsets: Sequence[Vector], pixels: int) -> list[list[Vector]]:
        """Offset and sum of products for each pixel and vector."""
        e, n, vectors, lanes = self.e, self.n, self.block.vectors, self.e.isa.lanes
        starts = [e.constant(0, lanes)] * vectors if staged.dtype.is_float else list(offsets)
        line = self._staged_width * self._element
        with e.loop(0, n["groups"], 1, starts * pixels) as group:
            with e.loop(0, n["kernel_width"], 1, group.values) as tap:
                at = weight + (group.index * n["kernel_width"] + tap.index) * self._element
                weights = [e.load(at + v * lanes, lanes) for v in range(vectors)]
                x = staged + group.index * line + tap.index * (n["dilation_x"] * self._element)
                sums = []
                for i in range(pixels):
                    pixel = x + n["stride_x"] * (i * self._element)
                    for v in range(vectors):
                        value = e.load(pixel + v * lanes, lanes)
                        total = tap.values[i * vectors + v]
                        if has_quads(e.isa):
                            sums.append(e.dot_bytes(total, value, weights[v]))
                        else:
                            sums.append(e.multiply_add(value, weights[v], total))
                tap.values = sums
            group.values = tap.values
        sums = group.values
        if staged.dtype.is_float:
            after = zip(sums, [*offsets] * pixels, strict=True)
            sums = [e.convert(total, DType.I32) + offset for total, offset in after]
        return [sums[i * vectors : (i + 1) * vectors] for i in range(pixels)]

    def _store_results(self, sums: Sequence[Sequence[Vector]], scales: Sequence[Vector], result: Pointer) -> None:
        """Results of the sums of neighbouring pixels, the first of which is stored at `result`."""
        e, n, lanes = self.e, self.n, self.e.isa.lanes
        if isinstance(self.requantizer, Requantizer):
            for i, (total,) in enumerate(sums):
                store_few(e, self.requantizer(total, scales[0]), result + n["channels"] * i, self.kernel.few)
        elif self.block.vectors == QUAD:
            for i, totals in enumerate(sums):
                e.store(self.requantizer(totals, scales), result + n["channels"] * i)
        else:
            for i in range(0, len(sums), QUAD):
                four = [sums[min(i + p, len(sums) - 1)][0] for p in range(QUAD)]
                turned = self.requantizer.in_order(self.requantizer(four, [*scales] * QUAD))
                for p, _ in enumerate(sums[i : i + QUAD]):
                    store_few(e, e.part(turned, lanes * p, lanes), result + n["channels"] * (i + p), self.kernel.few)


def weave(e: Emitter, rows: Sequence[Vector]) -> list[Vector]:
    """Four rows of bytes as four vectors of quads, one of a byte of each row to a lane."""
    pairs = [unpack(e, rows[i], rows[i + 1], half) for half in range(2) for i in (0, 2)]
    words = [e.bits(pair, DType.I16) for pair in pairs]
    quads = [unpack(e, words[v // 2 * 2], words[v // 2 * 2 + 1], v % 2) for v in range(QUAD)]
    return [e.bits(quad, DType.I32) for quad in quads]


def unpack(e: Emitter, a: Vector, b: Vector, half: int) -> Vector:
    """The elements of a and b in turns, from the low (0) or the high (1) half of every 16 bytes."""
    block = 16 // a.dtype.bytes
    places = [
        start + half * block // 2 + i + source * a.lanes
        for start in range(0, a.lanes, block)
        for i in range(block // 2)
        for source in range(2)
    ]
    return e.shuffle(a, b, places)
