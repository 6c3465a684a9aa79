"""Convolution of 8-bit images with all channels summed, exact, with requantisation.

Rows of the image are staged once for a band of rows of the result, as the processor multiplies them and with the
padding written out. A register tile is some neighbouring pixels of the result by a panel of features, as in `gemm`;
its rows begin, for each kernel row, `stride` pixels apart in a staged row. So nothing is gathered: a kernel row is one
run of neighbouring numbers for each pixel, or, when dilated, one for each kernel column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.dots import Dots, add_dots, stage
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer, Vector
from nascompiler.backends.kernels.gemm import each_panel
from nascompiler.backends.kernels.gemm_int8 import finish_tile, first_sums, places_of
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import PackedRequantizer, Requantization, Requantizer
from nascompiler.ir.types import DType

UNROLL = 4
"""Groups of terms between two branches."""

SLACK = 64
"""Elements of a staged row that are written or read behind its end."""


@dataclass(frozen=True)
class ConvolutionInt8(Kernel):
    """result [batch, out_height, out_width, features] of x [batch, height, width, channels].

    A tile has `pixels` pixels, out_width at most, and panels of `vectors` vectors or one less; `columns` is the number
    of features where it is less than a vector, otherwise 0. Sizes: a kernel row has `runs` runs of `groups` groups of
    terms, `run_step` staged elements apart; weight holds for each panel [kernel_height, runs, groups, columns].
    Where the pixels of x are small, `pixel_step` says how far apart those of a tile are, and `run_groups` is `groups`,
    so that both are known when the code is made; else they are 0. So is the kernel's height where it is `kernel_rows`.
    `whole` says that panels fill the features, so that no vector moves back. `band` rows of the result are computed
    from `staged_rows` rows of `row_elements` elements, SLACK included; zero is what x is padded with, as staged.
    """

    pixels: int
    vectors: int
    x_dtype: DType
    requantization: Requantization
    columns: int = 0
    pixel_step: int = 0
    run_groups: int = 0
    kernel_rows: int = 0
    whole: bool = False

    name: ClassVar[str] = "convolution_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        dots = Dots.of(self.isa)
        read = {"x": self.x_dtype, "weight": dots.weight, "offset": DType.I32, **self.requantization.pointers}
        return {**read, "result": self.requantization.dtype, "workspace": dots.x}

    @property
    def sizes(self) -> tuple[str, ...]:
        geometry = ["batch", "height", "width", "channels", "out_height", "out_width", "features", "kernel_height"]
        steps = [*(f"{name}_{axis}" for name in ("stride", "padding") for axis in "yx"), "dilation_y"]
        cut = ["runs", "groups", "run_step", "band", "staged_rows", "row_elements", "zero", "wide", "narrow"]
        return (*geometry, *steps, *cut, *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        requantizer = self.requantization.prepare_best(e, p, n)
        bands = (n["out_height"] + (n["band"] - 1)) // n["band"]
        staged = p["workspace"] + n["chunk"] * (n["staged_rows"] * n["row_elements"])
        first, last = share(e, n["batch"] * bands, n)
        with e.loop(first, last) as item:
            image, band = item.index // bands, item.index % bands
            row = e.index(e.smaller(band * n["band"], n["out_height"] - n["band"]))
            self._stage(e, p["x"] + image * (n["height"] * n["width"] * n["channels"]), n, row, staged)
            with e.loop(0, n["band"]) as line:
                source = staged + line.index * (n["stride_y"] * n["row_elements"])
                result = p["result"] + ((image * n["out_height"] + row + line.index) * n["out_width"]) * n["features"]
                with e.loop(0, n["out_width"], self.pixels) as tile:
                    column = e.index(e.smaller(tile.index, n["out_width"] - self.pixels))
                    x = source + column * (n["stride_x"] * n["channels"])
                    self._pixels(e, p, n, x, result + column * n["features"], requantizer)

    def _stage(self, e: Emitter, x: Pointer, n: Mapping[str, Index], row: Index, staged: Pointer) -> None:
        """Stage the rows of an image that the results from `row` on need; zero where there is none."""
        dots = Dots.of(self.isa)
        length = n["width"] * n["channels"]
        zero = e.bits(e.splat_index(n["zero"], e.isa.lanes), dots.x)
        with e.loop(0, n["staged_rows"]) as line:
            y = row * n["stride_y"] - n["padding_y"] + line.index * n["dilation_y"]
            target = staged + line.index * n["row_elements"]
            with e.loop(0, n["row_elements"] - (SLACK - 1), zero.lanes) as place:
                e.store(zero, target + place.index)
            with e.when(y >= 0), e.when(y < n["height"]):
                stage(e, x + y * length, target + n["padding_x"] * n["channels"], 1, length, 0, dots)

    def _pixels(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        x: Pointer,
        result: Pointer,
        requantizer: Requantizer | PackedRequantizer,
    ) -> None:
        """Some neighbouring pixels of the result, all features; the first one's first kernel row begins at `x`."""
        dots = Dots.of(self.isa)
        run_length = n["groups"] * dots.group
        step = self.pixel_step or n["stride_x"] * n["channels"]
        pixels = [step * i for i in range(self.pixels)]

        def panel(column: Index, vectors: int) -> None:
            places = places_of(e, column, vectors, n["features"], self.columns, whole=self.whole)
            sums = first_sums(e, p["offset"], places, self.pixels)
            weight = p["weight"] + column * (n["kernel_height"] * n["runs"] * run_length)

            def add(line: Number, run: Number, sums: Sequence[Vector]) -> list[Vector]:
                start = x + n["row_elements"] * line + n["run_step"] * run
                at = weight + (n["runs"] * line + run) * run_length * (vectors * e.isa.lanes)
                rows = [start + pixel for pixel in pixels]
                groups = self.run_groups or n["groups"]
                return add_dots(e, rows, at, groups, sums, dots, UNROLL, roomy=True)

            if self.kernel_rows:
                for row in range(self.kernel_rows):
                    sums = add(row, 0, sums)
            else:
                with e.loop(0, n["kernel_height"], 1, sums) as line:
                    with e.loop(0, n["runs"], 1, line.values) as run:
                        run.values = add(line.index, run.index, run.values)
                    line.values = run.values
                sums = line.values
            finish_tile(e, sums, places, requantizer, p["scale"], result, n["features"], self.columns, whole=self.whole)

        each_panel(e, self.vectors, n["wide"], 0, n["wide"] + n["narrow"], panel)
