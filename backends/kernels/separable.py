"""Float32 separable convolutions in one pass: tiles of the depthwise result go from the first cache to the product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.activation import NONE, Activation, activate
from nascompiler.backends.kernels.depthwise import Row, Taps, convolve_tile, kernel_rows
from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer
from nascompiler.backends.kernels.gemm import each_panel, finish_tile, multiply_tile
from nascompiler.backends.kernels.kernel import Kernel, Rows, Sizes, share
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class Separable(Kernel):
    """result = activation(project(depthwise_activation(depthwise(x))) + residual); both convolutions add their bias.

    x is [images, height, width, c], of which relu(x) is meant when `rectified`, result [images, result_height,
    result_width, n], c >= lanes. The depthwise weight is packed by `Row.pack`, the projection's in panels. `columns` is
    n where it is less than a vector, otherwise 0. The workspace has c * row.columns floats for each chunk. Threads
    share rows of the result.
    """

    row: Row
    vectors: int
    depthwise_activation: Activation = NONE
    activation: Activation = NONE
    residual: bool = False
    rectified: bool = False
    columns: int = 0

    name: ClassVar[str] = "separable_f32"

    @property
    def pointers(self) -> Mapping[str, DType]:
        names = ["x", "depthwise_weight", "project_weight", "project_bias", *["residual"] * self.residual]
        return dict.fromkeys([*names, "result", "workspace"], DType.F32)

    @property
    def sizes(self) -> tuple[str, ...]:
        return (
            *("images", "height", "width", "c", "n", "result_height", "result_width", "padding_top"),
            *("wide", "narrow"),
        )

    def some_rows(self, sizes: Sizes, height: int, first: int, last: int) -> Rows | None:
        stride, extent = self.row.strides[0], self.row.kernel[0]
        return Rows.of_windows(sizes, first, last, stride=stride, extent=extent, top="padding_top")

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        width, tile = n["result_width"], self.row.columns
        depthwise = p["workspace"] + n["chunk"] * (n["c"] * tile)
        first, last = share(e, n["images"] * n["result_height"], n)
        with e.loop(first, last) as rows, e.loop(0, width, tile) as columns:
            column = e.index(e.smaller(columns.index, width - tile))
            begins, ends = columns.index < 1, columns.index + tile >= width
            if self.row.single:
                self._depthwise(e, p, n, rows.index, column, self.row.taps(first=True, last=True), depthwise)
            else:
                with e.when(begins):
                    self._depthwise(e, p, n, rows.index, column, self.row.taps(first=True, last=False), depthwise)
                with e.when(e.neither(begins, ends)):
                    self._depthwise(e, p, n, rows.index, column, self.row.taps(first=False, last=False), depthwise)
                with e.when(ends):
                    self._depthwise(e, p, n, rows.index, column, self.row.taps(first=False, last=True), depthwise)
            self._project(e, p, n, depthwise, (rows.index * width + column) * n["n"])

    def _depthwise(
        self,
        e: Emitter,
        p: Mapping[str, Pointer],
        n: Mapping[str, Index],
        row: Index,
        column: Number,
        taps: Taps,
        tile: Pointer,
    ) -> None:
        """Some neighbouring pixels of a row of the depthwise result, [columns, c]."""
        c, cut = n["c"], self.row
        image, top = row // n["result_height"], row % n["result_height"] * cut.strides[0] - n["padding_top"]
        left = e.index(column) * cut.strides[1] - cut.missing[0]
        start = p["x"] + ((image * n["height"] + top) * n["width"] + left) * c
        used = kernel_rows(e, cut, top, n["height"])
        with e.loop(0, c, cut.lanes) as vector:
            channel = e.smaller(vector.index, c - cut.lanes)
            weight = p["depthwise_weight"] + vector.index * (cut.kernel[0] * cut.kernel[1] + 1)
            sums = convolve_tile(e, cut, start + channel, n["width"], used, c, weight, taps, self.rectified)
            for i, total in enumerate(sums):
                e.store(activate(e, total, self.depthwise_activation), tile + c * i + channel)

    def _project(
        self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index], tile: Pointer, place: Index
    ) -> None:
        """The product of a tile of the depthwise result, to neighbouring pixels that begin at `place`."""

        def panel(column: Index, vectors: int) -> None:
            weight = p["project_weight"] + column * n["c"]
            finish_tile(
                e,
                multiply_tile(e, [tile + n["c"] * i for i in range(self.row.columns)], weight, n["c"], vectors),
                column,
                n["n"],
                bias=p["project_bias"],
                residual=p["residual"] + place if self.residual else None,
                result=p["result"] + place,
                row_length=n["n"],
                activation=self.activation,
                columns=self.columns,
            )

        each_panel(e, self.vectors, n["wide"], 0, n["wide"] + n["narrow"], panel)
