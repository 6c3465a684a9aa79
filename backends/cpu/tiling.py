"""How kernels cut a convolution into register tiles: so many pixels of a row by so many vectors of channels.

A convolution computes, for every tile, `accumulators[pixel][vector] += input[pixel] * weight[vector]` over kernel
positions and input channels. This module knows neither TVM nor LLVM; every generator of kernels cuts by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from nascompiler.backends.target import Isa
from nascompiler.ir.types import TensorType

MAX_COLUMNS = 14
"""More pixels in a tile only lengthen the code."""

MAX_VECTORS = 8


def image_sizes(x: TensorType, result: TensorType) -> dict[str, int]:
    """The sizes of the images [batch, height, width, channels] that a kernel reads, and of those that it makes."""
    batch, height, width, channels = x.static_shape
    _, out_height, out_width, _ = result.static_shape
    images = {"batch": batch, "height": height, "width": width, "channels": channels}
    return {**images, "out_height": out_height, "out_width": out_width}


@dataclass(frozen=True)
class Window:
    """The geometry of a convolution or pooling of NHWC images; sizes in elements, (height, width)."""

    batch: int
    size: tuple[int, int]
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    groups: int
    output: tuple[int, int]
    features: int

    @classmethod
    def of_convolution(
        cls, x: TensorType, weight: TensorType, result: TensorType, attributes: dict[str, Any]
    ) -> Window:
        """The geometry of a conv2d node."""
        n, h, w, c = x.static_shape
        kernel_height, kernel_width, per_group, _ = weight.static_shape
        _, out_h, out_w, features = result.static_shape
        return cls(
            batch=n,
            size=(h, w),
            channels=c,
            kernel=(kernel_height, kernel_width),
            strides=attributes["strides"],
            padding=attributes["padding"],
            dilation=attributes["dilation"],
            groups=c // per_group,
            output=(out_h, out_w),
            features=features,
        )

    @classmethod
    def of_linear(cls, x: TensorType, result: TensorType) -> Window:
        """A matrix product seen as a pointwise convolution of one row of pixels."""
        inputs, features = x.static_shape[-1], result.static_shape[-1]
        pixels = x.size // inputs
        one = (1, 1)
        return cls(1, (1, pixels), inputs, one, one, (0, 0, 0, 0), one, 1, (1, pixels), features)

    @property
    def is_pointwise(self) -> bool:
        """Whether every output pixel depends on the input pixel at the same place only."""
        return self.kernel == (1, 1) and self.strides == (1, 1) and not any(self.padding)

    def flattened(self) -> Window:
        """The same as one row of pixels, where that is possible."""
        if not self.is_pointwise:
            return self
        row = (1, self.batch * self.size[0] * self.size[1])
        return Window(1, row, self.channels, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), self.groups, row, self.features)


@dataclass(frozen=True)
class Tile:
    """A register tile: pixels of one row by vectors of channels."""

    columns: int
    vectors: int


@dataclass(frozen=True)
class Panel:
    """`repeats` adjacent blocks of channels from `start` on, each cut into vectors of the given `lanes`."""

    start: int
    repeats: int
    lanes: tuple[int, ...]

    @property
    def width(self) -> int:
        return sum(self.lanes)


@dataclass(frozen=True)
class Columns:
    """`repeats` tiles of a row that run the same code.

    Tile i starts at column `start` + i * width, but never behind `last`: the final tile of a row overlaps the one
    before rather than being narrower, and computes some pixels again. `taps` has an entry for each column of a tile:
    the horizontal kernel positions that meet the image there.
    """

    start: int
    repeats: int
    taps: tuple[tuple[int, ...], ...]
    last: int

    @property
    def width(self) -> int:
        return len(self.taps)

    @property
    def overlaps(self) -> bool:
        """Whether the last of these tiles is moved back."""
        return self.start + (self.repeats - 1) * self.width > self.last


def lane_pieces(count: int, lanes: int) -> tuple[int, ...]:
    """`count` values as full vectors and then ever shorter ones (powers of two), so that nothing is masked."""
    pieces = [lanes] * (count // lanes)
    rest, piece = count % lanes, lanes // 2
    while rest:
        if piece <= rest:
            pieces.append(piece)
            rest -= piece
        piece //= 2
    return tuple(pieces)


def panels(channels: int, vectors: int, isa: Isa) -> list[Panel]:
    """All channels as panels of `vectors` full vectors, and one narrower for the rest."""
    width = vectors * isa.lanes
    full, rest = divmod(channels, width)
    cut = [Panel(0, full, (isa.lanes,) * vectors)] if full else []
    return [*cut, Panel(full * width, 1, lane_pieces(rest, isa.lanes))] if rest else cut


def columns(window: Window, width: int) -> list[Columns]:
    """A row of output pixels as tiles of `width` columns, those that meet the same kernel positions together."""

    def taps(column: int) -> tuple[int, ...]:
        left = column * window.strides[1] - window.padding[1]
        places = (left + k * window.dilation[1] for k in range(window.kernel[1]))
        return tuple(k for k, place in enumerate(places) if 0 <= place < window.size[1])

    last = window.output[1] - width
    starts = [min(start, last) for start in range(0, window.output[1], width)]
    tiles = [(start, tuple(taps(column) for column in range(start, start + width))) for start in starts]
    groups = (list(group) for _, group in groupby(tiles, key=lambda tile: tile[1]))
    return [Columns(group[0][0], len(group), group[0][1], last) for group in groups]


def choose_tile(window: Window, isa: Isa) -> Tile:
    """The register tile that a simple model of the processor finds fastest.

    Two fused multiply-adds and two loads a cycle, a latency of four cycles; what tiles compute twice counts twice.
    """
    pixels, features = window.output[1], window.features // window.groups
    best: tuple[float, Tile] | None = None
    for vectors in range(1, MAX_VECTORS + 1):
        if vectors > max(1, -(-features // isa.lanes)):
            break
        for width in range(1, min(MAX_COLUMNS, pixels, isa.accumulators // vectors) + 1):
            cost = _cycles(pixels, width, panels(features, vectors, isa))
            if best is None or cost < best[0]:
                best = (cost, Tile(width, vectors))
    assert best is not None
    return best[1]


def _cycles(pixels: int, width: int, cut: Sequence[Panel]) -> float:
    """Cycles for one input channel of a whole row."""
    total = 0.0
    for panel in cut:
        multiply_adds, loads = width * len(panel.lanes) / 2, (width + len(panel.lanes)) / 2
        total += panel.repeats * (max(multiply_adds, loads, 4.0) + 0.5)
    return total * -(-pixels // width)
