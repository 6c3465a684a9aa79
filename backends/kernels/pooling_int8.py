"""Average pooling of 8-bit images: exact sums, then the float32 steps of docs/integers.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nascompiler.backends.kernels.emitter import Emitter, Index, Number, Pointer
from nascompiler.backends.kernels.few_lanes import load_few, store_few
from nascompiler.backends.kernels.kernel import Kernel, share
from nascompiler.backends.kernels.requantize import Requantization
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class AveragePoolInt8(Kernel):
    """result [batch, out_height, out_width, channels] = requantised(sum of x - x_zero_point under a window * factor).

    factors [out_height, out_width] are the windows' multipliers. A block is `vectors` vectors of channels; the last
    overlaps the one before. `few` is the number of channels where it is less than a vector, otherwise 0.
    """

    x_dtype: DType
    requantization: Requantization
    vectors: int = 1
    few: int = 0

    name: ClassVar[str] = "average_pool_int8"

    @property
    def pointers(self) -> Mapping[str, DType]:
        return {"x": self.x_dtype, "factors": DType.F32, "result": self.requantization.dtype}

    @property
    def sizes(self) -> tuple[str, ...]:
        geometry = ["batch", "height", "width", "channels", "out_height", "out_width"]
        steps = [f"{name}_{axis}" for name in ("kernel", "stride", "padding") for axis in "yx"]
        return (*geometry, *steps, "x_zero_point", *self.requantization.sizes)

    def emit(self, e: Emitter, p: Mapping[str, Pointer], n: Mapping[str, Index]) -> None:
        lanes = e.isa.lanes
        requantizer = self.requantization.prepare(e, p, n, lanes)
        block = lanes * self.vectors
        blocks = (n["channels"] + (block - 1)) // block
        row_length = n["width"] * n["channels"]
        first, last = share(e, n["batch"] * n["out_height"], n)
        with e.loop(first, last) as item:
            image, out_y = item.index // n["out_height"], item.index % n["out_height"]
            top, bottom = _window(e, out_y, n, "y", n["height"])
            x = p["x"] + (image * n["height"] + top) * row_length
            with e.loop(0, n["out_width"]) as out_x:
                left, right = _window(e, out_x.index, n, "x", n["width"])
                place = out_y * n["out_width"] + out_x.index
                factor = e.broadcast(p["factors"] + place, lanes)
                offset = e.splat_index(0 - (bottom - top) * (right - left) * n["x_zero_point"], lanes)
                result = p["result"] + (item.index * n["out_width"] + out_x.index) * n["channels"]
                with e.loop(0, blocks) as loop:
                    channel = e.index(0)
                    if not self.few:
                        channel = e.index(e.smaller(loop.index * block, n["channels"] - block))
                    sums = [offset] * self.vectors
                    with e.loop(0, bottom - top, 1, sums) as y:
                        row = x + y.index * row_length + channel
                        with e.loop(left, right, 1, y.values) as column:
                            at = row + column.index * n["channels"]
                            column.values = [
                                total + e.convert(load_few(e, at + v * lanes, lanes, self.few), DType.I32)
                                for v, total in enumerate(column.values)
                            ]
                        y.values = column.values
                    for v, total in enumerate(y.values):
                        store_few(e, requantizer(total, factor), result + channel + v * lanes, self.few)


def _window(e: Emitter, place: Index, n: Mapping[str, Index], axis: str, size: Number) -> tuple[Index, Index]:
    """First and last + 1 of the rows or columns under a window that are in the image; none only if there is none."""
    start = place * n[f"stride_{axis}"] - n[f"padding_{axis}"]
    stop = e.index(e.smaller(start + n[f"kernel_{axis}"], size))
    start = e.index(e.larger(start, 0))
    return start, e.index(e.larger(start, stop))
