"""Ways to lay the sums of a layer out on the array, and on the vector unit.

On the array, a position of the grid computes a patch of output pixels: the columns of a tile are the patch's pixels
times features, its rows the pixels of the input under the patch times channels. A patch of one pixel is the usual
mapping. For depthwise convolutions a tile holds several groups, each with its own channels and features (spatial
blocking); with a patch of one pixel that is the diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.tpu.compiler.constants import Weights
from nascompiler.backends.tpu.compiler.work import Pair, SumWork, Window
from nascompiler.backends.tpu.isa.opcodes import DEPTHWISE, PARTIAL_TILES
from nascompiler.backends.tpu.machine import Machine

PARAMETER_BYTES = 8
"""Of a lane in parameter memory: bias and multiplier."""


MOST_ELEMENTS = 0xFFFF
"""Of a flattened window: an instruction names the first one that it takes by 16 bits."""


@dataclass(frozen=True)
class Shape:
    """All that the mapping of a sum depends on. Sizes of the result are in pixels, of one image."""

    window: Window
    groups: int
    group_channels: int
    group_features: int
    height: int
    width: int
    element: int
    """Bytes of an element of x."""
    weight_element: int = 1
    """Bytes of a weight."""

    @classmethod
    def of(cls, work: SumWork) -> Shape:
        g = work.write.geometry
        x = work.reads[0]
        channels, features = work.group_channels, work.group_features
        return cls(work.window, work.groups, channels, features, g.height, g.width, x.element, work.weight_element)

    @property
    def macs(self) -> int:
        """Multiply-adds for one image."""
        return self.height * self.width * self.window.taps * self.group_channels * self.group_features * self.groups


@dataclass(frozen=True)
class Figures:
    """What of a machine the cost of a mapping depends on."""

    array: int
    accumulators: int
    cycles_per_byte: float
    partial_tiles: bool
    depthwise: bool

    @classmethod
    def of(cls, machine: Machine) -> Figures:
        return cls(
            machine.array,
            machine.accumulators,
            float(machine.weight_cycles_per_byte),
            PARTIAL_TILES in machine.extensions,
            DEPTHWISE in machine.extensions,
        )


@dataclass(frozen=True)
class Mapping:
    """How the sums of a layer are computed. `vector` is the depthwise instruction of the activation unit.

    `groups` are those of a tile, `features` the features of a group of which each pixel of the patch has columns.
    `side` is the part of the array's side that is used.
    """

    side: int
    patch: Pair = (1, 1)
    groups: int = 1
    features: int = 1
    vector: bool = False

    def __str__(self) -> str:
        if self.vector:
            return "vector unit"
        if self.patch == (1, 1):
            return "im2col" if self.groups == 1 else f"diagonal of {self.groups}"
        blocks = f" x {self.groups} groups" if self.groups > 1 else ""
        return f"patch {self.patch[0]}x{self.patch[1]}{blocks}"


@dataclass(frozen=True)
class Block:
    """The channels and features that share tiles."""

    first_channel: int
    channels: int
    first_feature: int
    features: int


@dataclass(frozen=True)
class Tiling:
    """A mapping applied to a shape: the window that a position reads, the grid of positions, the blocks."""

    window: Window
    grid: Pair
    blocks: tuple[Block, ...]
    patch: Pair

    def rows(self, block: Block) -> int:
        """Elements of the flattened window: how long the sums are."""
        return self.window.taps * block.channels

    def columns(self, block: Block) -> int:
        return self.patch[0] * self.patch[1] * block.features


@lru_cache(maxsize=4096)
def tiling(shape: Shape, mapping: Mapping) -> Tiling:
    """The tiling of a mapping on the array."""
    (patch_height, patch_width), window = mapping.patch, shape.window
    (stride_y, stride_x), (kernel_height, kernel_width) = window.strides, window.kernel
    if mapping.patch != (1, 1):
        rows = (patch_height - 1) * stride_y + (kernel_height - 1) * window.dilation[0] + 1
        columns = (patch_width - 1) * stride_x + (kernel_width - 1) * window.dilation[1] + 1
        strides = (patch_height * stride_y, patch_width * stride_x)
        window = Window((rows, columns), strides, window.top, window.left)
    grid = (ceil(shape.height / patch_height), ceil(shape.width / patch_width))
    if shape.groups == 1:
        features = shape.group_features
        blocks = tuple(
            Block(0, shape.group_channels, first, min(mapping.features, features - first))
            for first in range(0, features, mapping.features)
        )
    else:
        blocks = tuple(
            Block(
                first * shape.group_channels,
                count * shape.group_channels,
                first * shape.group_features + part,
                count * shape.group_features
                if mapping.groups > 1
                else min(mapping.features, shape.group_features - part),
            )
            for first in range(0, shape.groups, mapping.groups)
            for count in [min(mapping.groups, shape.groups - first)]
            for part in (range(0, shape.group_features, mapping.features) if mapping.groups == 1 else (0,))
        )
    return Tiling(window, grid, blocks, mapping.patch)


def block_matrix(shape: Shape, mapping: Mapping, block: Block, weights: Weights) -> Weights:
    """The weights of a block [rows, columns], by the order of the flattened window and of the patch.

    `weights` are those of the layer [kernel height, kernel width, channels of a group, features].
    """
    made = tiling(shape, mapping)
    mine = weights[..., block.first_feature : block.first_feature + block.features]
    if mapping.patch == (1, 1) and block.channels == shape.group_channels:
        plain: NDArray[Any] = np.ascontiguousarray(mine.reshape(-1, block.features))
        return plain
    (rows, columns), (patch_height, patch_width) = made.window.kernel, mapping.patch
    (stride_y, stride_x), (dilation_y, dilation_x) = shape.window.strides, shape.window.dilation
    if mapping.patch == (1, 1):  # the window keeps its dilation
        dilation_y = dilation_x = 1
    matrix = np.zeros((rows, columns, block.channels, patch_height, patch_width, block.features), weights.dtype)
    count = block.channels // shape.group_channels
    per_group = block.features // count
    for dy in range(patch_height):
        for dx in range(patch_width):
            for ky in range(shape.window.kernel[0]):
                for kx in range(shape.window.kernel[1]):
                    place = matrix[dy * stride_y + ky * dilation_y, dx * stride_x + kx * dilation_x, :, dy, dx, :]
                    for group in range(count):
                        channels = slice(group * shape.group_channels, (group + 1) * shape.group_channels)
                        features = slice(group * per_group, (group + 1) * per_group)
                        place[channels, features] = mine[ky, kx, :, features]
    whole: Weights = matrix.reshape(made.rows(block), made.columns(block))
    return whole


def useful_weights(shape: Shape, mapping: Mapping, block: Block, first: int, rows: int) -> int:
    """How many weights of a tile belong to the layer: the tile holds `rows` of a block's rows from `first` on."""
    if mapping.patch == (1, 1) and block.channels == shape.group_channels:
        return rows * block.features
    sums = _useful_before(shape, mapping, block.channels, block.features)
    return int(sums[first + rows] - sums[first])


@lru_cache(maxsize=4096)
def _useful_before(shape: Shape, mapping: Mapping, channels: int, features: int) -> NDArray[np.int64]:
    """How many weights of a block belong to the layer in all rows before each row."""
    counts = []
    for axis in (0, 1):
        taps, stride = shape.window.kernel[axis], shape.window.strides[axis]
        uses = np.zeros((mapping.patch[axis] - 1) * stride + taps, np.int64)
        for pixel in range(mapping.patch[axis]):
            uses[pixel * stride : pixel * stride + taps] += 1
        counts.append(uses)
    pixels = np.outer(*counts).reshape(-1)
    per_channel = features * shape.group_channels // channels
    return np.concatenate([[0], np.cumsum(np.repeat(pixels, channels) * per_channel)])


def candidates(shape: Shape, machine: Figures) -> Iterator[Mapping]:
    """Mappings worth costing, the plain one first."""
    side = machine.array
    if shape.groups == 1:
        yield Mapping(side, (1, 1), 1, min(side, shape.group_features))
        if shape.window.dilation == (1, 1) and shape.group_features <= side // 2:
            for patch in _patches(shape):
                features = side // (patch[0] * patch[1])
                rows = prod_pair(_input_patch(shape, patch)) * shape.group_channels
                if features >= min(shape.group_features, 8) and rows <= MOST_ELEMENTS:
                    yield Mapping(side, patch, 1, min(features, shape.group_features))
        return
    if machine.depthwise and shape.weight_element == 1 and shape.group_channels == shape.group_features == 1:
        yield Mapping(side, vector=True)
    single = max(shape.group_channels, shape.group_features)
    if single >= side or shape.window.taps * shape.group_channels > side:
        yield Mapping(side, (1, 1), 1, min(side, shape.group_features))
    for patch in [(1, 1), *(_patches(shape) if shape.window.dilation == (1, 1) else ())]:
        rows = prod_pair(_input_patch(shape, patch)) * shape.group_channels
        columns = patch[0] * patch[1] * shape.group_features
        count = min(side // rows, side // columns, shape.groups)
        for groups in {count, _divisor_below(shape.groups, count)} if count else ():
            yield Mapping(side, patch, groups, shape.group_features)


def prod_pair(pair: Pair) -> int:
    return pair[0] * pair[1]


def _divisor_below(total: int, count: int) -> int:
    """The number nearest to `count` from below that cuts `total` into as many parts as `count` does, evenly."""
    return ceil(total / ceil(total / count)) if count else 0


def _input_patch(shape: Shape, patch: Pair) -> Pair:
    (stride_y, stride_x), (kernel_height, kernel_width) = shape.window.strides, shape.window.kernel
    return (patch[0] - 1) * stride_y + kernel_height, (patch[1] - 1) * stride_x + kernel_width


def _patches(shape: Shape) -> Iterator[Pair]:
    for height, width in ((1, 2), (2, 2), (2, 3), (3, 3), (2, 4), (3, 4), (4, 4), (4, 5), (5, 5), (4, 7), (7, 7)):
        for patch in {(height, width), (width, height)}:
            if patch[0] <= shape.height and patch[1] <= shape.width:
                yield patch


@dataclass(frozen=True)
class Cost:
    """Cycles that each unit works on a layer, if nothing made it wait. `parameters` are bytes."""

    fetch: int
    matrix: int
    activation: int
    parameters: int

    @property
    def total(self) -> float:
        """What the layer takes where the units overlap: the busiest one, and a little for the others."""
        busiest = max(self.fetch, self.matrix, self.activation)
        return busiest + 0.05 * (self.fetch + self.matrix + self.activation - busiest)


def cost(shape: Shape, mapping: Mapping, machine: Figures, images: int) -> Cost:
    """The cost of a layer for so many images at a time."""
    per_byte = machine.cycles_per_byte
    speed = shape.element * shape.weight_element
    if mapping.vector:
        features = shape.groups
        parameters = features * (PARAMETER_BYTES + shape.window.taps)
        lanes = ceil(features / machine.array)
        cycles = images * shape.height * shape.width * shape.window.taps * lanes
        return Cost(ceil(parameters * per_byte), 0, cycles, parameters)
    made = tiling(shape, mapping)
    positions = images * prod_pair(made.grid)
    passes, fetched, columns = 0, 0, 0
    for block in made.blocks:
        rows, lanes = made.rows(block), made.columns(block)
        tiles = ceil(rows / mapping.side)
        passes += tiles
        columns += lanes
        fetched += shape.weight_element * (
            rows * lanes if machine.partial_tiles else tiles * machine.array * machine.array
        )
    refetches = 1 if all(made.rows(b) <= mapping.side for b in made.blocks) else ceil(positions / machine.accumulators)
    fetch = ceil((fetched * refetches + columns * PARAMETER_BYTES) * per_byte)
    # a tile that is kept serves for all positions; between tiles the array waits for the shift, if it lasts longer
    matrix = passes * max(positions * speed, machine.array * shape.weight_element * refetches)
    return Cost(fetch, matrix, positions * len(made.blocks), columns * PARAMETER_BYTES)


@lru_cache(maxsize=65536)
def best_mapping(shape: Shape, machine: Figures, images: int) -> Mapping:
    """The mapping of the least cost."""
    return min(candidates(shape, machine), key=lambda m: cost(shape, m, machine, images).total)
