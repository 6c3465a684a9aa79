"""Dense float32 convolution in slices of bytes (slices.py), about as accurate as multiply-adds of float32.

What two tiles of results, of neighbouring rows, read of an image is a patch. It is cut and staged once, with one scale,
and every place of the kernel meets it at another pixel: a tile of rows of x is so many pixels of a line of the patch.
The last tiles of a row and the last row overlap those before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation
from nascompiler.backends.kernels.emitter import Condition, Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.slices import (
    BLOCK,
    LANES,
    SLICES,
    SUMS,
    TILE,
    UNIT,
    Products,
    Result,
    largest,
    sizes_of,
    store_slices,
)
from nascompiler.backends.kernels.tiles import TILE_BYTES, TILE_ROWS, AmxTiles, Tiles
from nascompiler.ir.types import DType

ROW_TILES = 2
"""Tiles of rows of x, from neighbouring rows of the result, that share a patch."""

_SUMS = ROW_TILES * SUMS
"""Bytes that the sums of a patch and a panel of columns take."""

_SCALES = TILE_ROWS * DType.F32.bytes
"""Bytes that the scale of a patch takes: as often as a tile has rows, which share it."""

_KEPT = 2
"""Patches with scales in use: one is finished while the next is multiplied."""

_STREAMS = 4
"""Vectors of a patch whose sizes are compared with different ones."""


@dataclass(frozen=True)
class ConvolutionSlices(Kernel):
    """result [images, result_height, result_width, n] = activation(convolution of x + bias + residual), c and n >= 16.

    x is [images, height, width, c], of which pixels outside count as zero: `top` lines above and `left` columns before.
    `weight` and `scale` are what `pack_slices` makes of weights [kernel height, kernel width, c, n], c in `blocks` of
    64. A tile has `tile_rows` pixels of a row, 16 or result_width at most, for which `tiles` is the configuration;
    result_height is 2 at least. Threads share patches. Of the workspace each chunk takes `workspace_bytes`.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    activation: Activation = NONE
    residual: bool = False

    name: ClassVar[str] = "convolution_slices"

    def tiles(self, e: Emitter) -> Tiles:
        """The tile registers to use."""
        return AmxTiles(e)

    @property
    def pointers(self) -> Mapping[str, DType]:
        read = {"x": DType.F32, "weight": DType.I8, "scale": DType.F32, "bias": DType.F32, "tiles": DType.U8}
        more = ["residual"] * self.residual
        return {**read, **dict.fromkeys([*more, "result"], DType.F32), "workspace": DType.I8}

    @property
    def sizes(self) -> tuple[str, ...]:
        x = ("images", "height", "width", "c", "top", "left", "blocks")
        return (*x, "result_height", "result_width", "n", "tile_rows")

    @property
    def lines(self) -> int:
        """Lines of a patch."""
        return (ROW_TILES - 1) * self.strides[0] + self.kernel[0]

    @property
    def pixels(self) -> int:
        """Pixels of a line of a patch, for full tiles."""
        return (TILE_ROWS - 1) * self.strides[1] + self.kernel[1]

    @property
    def slice_bytes(self) -> int:
        """Bytes of a slice of a block of channels of a patch."""
        return self.lines * self.pixels * TILE_BYTES

    @property
    def place_bytes(self) -> int:
        """Bytes for the places of a block of channels, one for each place of the kernel: whole lines of memory."""
        return -(-self.kernel[0] * self.kernel[1] * DType.I32.bytes // TILE_BYTES) * TILE_BYTES

    def workspace_bytes(self, blocks: int) -> int:
        """What a chunk needs of the workspace."""
        return _SUMS + _KEPT * _SCALES + blocks * (self.place_bytes + SLICES * self.slice_bytes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        columns = (n["result_width"] + (n["tile_rows"] - 1)) // n["tile_rows"]
        pairs = (n["result_height"] + (ROW_TILES - 1)) // ROW_TILES
        panels = (n["n"] + (LANES - 1)) // LANES
        patch_bytes = n["blocks"] * (self.place_bytes + SLICES * self.slice_bytes)
        memory = p["workspace"] + n["chunk"] * (patch_bytes + (_SUMS + _KEPT * _SCALES))
        work = _Work(self, e, p, n, self.tiles(e), columns, pairs, memory)
        first, last = share(e, n["images"] * pairs * columns, n)
        with e.when(first < last):
            work.registers.configure(p["tiles"])
            work.list_places()
            with e.loop(first, last) as patch:
                work.stage(patch.index)
                with e.loop(0, panels) as panel:
                    continues = panel.index > 0
                    is_start = e.both(patch.index.equals(first), panel.index.equals(0))
                    before = (
                        e.choose(e.either(continues, is_start), patch.index, patch.index - 1),
                        e.choose(continues, panel.index - 1, e.choose(is_start, 0, panels - 1)),
                    )
                    work.multiply(panel.index, before, e.neither(is_start))
            with e.loop(0, ROW_TILES) as tile:
                work.result(last - 1, panels - 1, tile.index).finish_all()
            work.registers.release()


@dataclass(frozen=True)
class _Work:
    """The steps of a kernel's body, and what they share."""

    kernel: ConvolutionSlices
    e: Emitter
    p: Mapping[str, Pointer]
    n: Mapping[str, Index]
    registers: Tiles
    columns: Index
    pairs: Index
    memory: Pointer

    @property
    def blocks(self) -> Index:
        """Blocks of terms of a sum: those of the channels at each place of the kernel."""
        return self.n["blocks"] * (self.kernel.kernel[0] * self.kernel.kernel[1])

    @property
    def sums(self) -> Pointer:
        return self.memory.cast(DType.I32)

    @property
    def staged(self) -> Pointer:
        """Where the patch is staged: [blocks, SLICES, lines, pixels, 64]."""
        return self.memory + (_SUMS + _KEPT * _SCALES) + self.n["blocks"] * self.kernel.place_bytes

    @property
    def places(self) -> Pointer:
        """Where blocks of terms lie from the start of the patch on, in bytes."""
        return (self.memory + (_SUMS + _KEPT * _SCALES)).cast(DType.I32)

    def list_places(self) -> None:
        """Write down the places: for each line and column of the kernel, each block of channels."""
        e, (height, width), blocks = self.e, self.kernel.kernel, self.n["blocks"]
        with e.loop(0, height * width) as tap, e.loop(0, blocks) as block:
            pixel = tap.index // width * self.kernel.pixels + tap.index % width
            place = block.index * (SLICES * self.kernel.slice_bytes) + pixel * TILE_BYTES
            e.store(e.part(e.splat_index(place, LANES), 0, 1), self.places + tap.index * blocks + block.index)

    def scales(self, patch: Index) -> Pointer:
        """Where the scale of a patch is kept, once for each row of a tile."""
        return (self.memory + _SUMS).cast(DType.F32) + patch % _KEPT * TILE_ROWS

    def place(self, patch: Index) -> tuple[Index, Index, Index]:
        """Image, row and column of the first result of a patch; the last rows and columns end with the image."""
        e, n = self.e, self.n
        row, column = patch // self.columns, patch % self.columns
        image, row = row // self.pairs, row % self.pairs
        y = e.smaller(row * ROW_TILES, n["result_height"] - ROW_TILES)
        return image, e.index(y), e.index(e.smaller(column * n["tile_rows"], n["result_width"] - n["tile_rows"]))

    def stage(self, patch: Index) -> None:
        """Find the scale of a patch, and stage it: pixels outside of the image as zeros."""
        e, n, kernel = self.e, self.n, self.kernel
        image, row, column = self.place(patch)
        span = (n["tile_rows"] - 1) * kernel.strides[1] + kernel.kernel[1]
        y, x = row * kernel.strides[0] - n["top"], column * kernel.strides[1] - n["left"]
        lines, pixels = self.inside(y, n["height"], e.index(kernel.lines)), self.inside(x, n["width"], span)
        start = self.p["x"] + ((image * n["height"] + y) * n["width"] + x) * n["c"]
        scale = self.measure(start, lines, pixels)
        e.store(scale, self.scales(patch))
        inverse = UNIT / scale
        with e.loop(0, kernel.lines, unroll=1) as line:
            source = start + line.index * n["width"] * n["c"]
            target = self.staged + line.index * (kernel.pixels * TILE_BYTES)
            is_inside = e.both(line.index >= lines[0], line.index < lines[1])
            first, last = (e.choose(is_inside, pixel, 0) for pixel in pixels)
            self.clear(target, e.index(0), first)
            with e.loop(first, last, unroll=1) as pixel:
                self.stage_pixel(source + pixel.index * n["c"], inverse, target + pixel.index * TILE_BYTES)
            self.clear(target, last, span)

    def inside(self, first: Index, size: Index, count: Index) -> tuple[Index, Index]:
        """Of `count` places from `first` on, the first and last + 1 that are in an image of this size."""
        e = self.e
        begin = e.index(e.smaller(e.larger(0 - first, 0), count))
        return begin, e.index(e.larger(e.smaller(size - first, count), begin))

    def measure(self, start: Pointer, lines: tuple[Index, Index], pixels: tuple[Index, Index]) -> Vector:
        """The scale of the part of a patch that is in the image, in all lanes."""
        e, n = self.e, self.n
        nothing = [e.constant(0, LANES, DType.I32)] * _STREAMS
        length = (pixels[1] - pixels[0]) * n["c"]
        with e.loop(*lines, 1, nothing, unroll=1) as line:
            source = start + (line.index * n["width"] + pixels[0]) * n["c"]
            with e.loop(0, length, _STREAMS * LANES, line.values, unroll=1) as loop:
                places = [e.smaller(loop.index + i * LANES, length - LANES) for i in range(_STREAMS)]
                sizes = [sizes_of(e, e.load(source + place, LANES)) for place in places]
                loop.values = [e.at_least(size, most) for size, most in zip(sizes, loop.values, strict=True)]
            line.values = loop.values
        most = line.values[0]
        for other in line.values[1:]:
            most = e.at_least(most, other)
        return largest(e, most)

    def stage_pixel(self, source: Pointer, factor: Vector, target: Pointer) -> None:
        """Stage the channels of a pixel, a block at a time."""
        e, size = self.e, self.kernel.slice_bytes

        c, blocks = self.n["c"], self.n["blocks"]
        long = (c + 2 * LANES - 1) // BLOCK  # blocks with more than two vectors
        for first, last, vectors in ((0, long, 4), (long, blocks, 2)):
            with e.loop(first, last, unroll=1) as block:
                slices = target + block.index * (SLICES * size)
                places = [e.smaller(block.index * BLOCK + i * LANES, c - LANES) for i in range(vectors)]
                terms = [e.load(source + place, LANES) for place in places]
                store_slices(e, terms, factor, [slices + i * size for i in range(SLICES)])

    def clear(self, line: Pointer, first: Index, last: Index) -> None:
        """Stage zeros for some pixels of a line."""
        e, size = self.e, self.kernel.slice_bytes
        with e.loop(first, last, unroll=1) as pixel, e.loop(0, self.n["blocks"] * SLICES, unroll=1) as slice:
            e.store(e.constant(0, TILE_BYTES, DType.I8), line + slice.index * size + pixel.index * TILE_BYTES)

    def multiply(self, panel: Index, before: tuple[Index, Index], has_before: Condition) -> None:
        """Leave in `sums` the products of the patch and a panel; finish the results `before` meanwhile."""
        e, kernel, blocks = self.e, self.kernel, self.blocks
        weight = self.p["weight"] + panel * blocks * (SLICES * TILE)
        with e.loop(0, ROW_TILES, unroll=1) as tile:
            result = self.result(*before, tile.index)
            staged = self.staged + tile.index * (kernel.strides[0] * kernel.pixels * TILE_BYTES)

            def source(block: Index, staged: Pointer = staged) -> Sequence[Pointer]:
                place = staged + e.load_index(self.places + block)
                return [place + i * kernel.slice_bytes for i in range(SLICES)]

            def meanwhile(block: Index, result: Result = result) -> None:
                with e.when(has_before):
                    result.finish_beside(block)

            pitch = kernel.strides[1] * TILE_BYTES
            products = Products(e, self.registers, source, pitch, weight, blocks, meanwhile, streamed="weight")
            products.sum(self.sums + tile.index * (SUMS // 4))

    def result(self, patch: Index, panel: Index, tile: Number) -> Result:
        """What is left to do for a row of a patch and a panel whose products are in `sums`.

        Rows and columns that the patch before has as well are its own: its scale may be another.
        """
        e, n = self.e, self.n
        image, row, column = self.place(patch)
        rows = patch // self.columns % self.pairs * ROW_TILES - row
        columns = patch % self.columns * n["tile_rows"] - column
        known = e.choose(rows > tile, n["tile_rows"], columns)
        sums, scales = self.sums + tile * (SUMS // 4), self.scales(patch)
        first = (image * n["result_height"] + row + tile) * n["result_width"] + column
        return Result.of(e, self.kernel.activation, self.p, n, sums, scales, first, panel, self.blocks, known)
