"""How each kernel call is cut for a target: tiles, panels, loop order, and the packing of weights that goes with them.

Knows no code generator, so that a placement table needs none and every generator reads the same packed weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.packing import pack_convolution
from nascompiler.backends.cpu.tiling import Columns, Panel, Tile, Window, choose_tile, columns, panels
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array

FEW_TILES = 8
"""With fewer tiles of pixels than this, threads share the panels of channels instead."""

DEPTHWISE_COLUMNS = 7
"""Accumulators of a depthwise tile; with a row of weights they fit sixteen registers."""


@dataclass(frozen=True)
class ConvolutionPlan:
    """How a dense or grouped convolution, or a matrix product, is cut.

    Threads share tiles of pixels, or panels of channels when `panels_outside`.
    """

    window: Window
    tile: Tile
    panels: tuple[Panel, ...]
    columns: tuple[Columns, ...]
    panels_outside: bool

    @property
    def per_group(self) -> tuple[int, int]:
        """Input and output channels of one group."""
        return self.window.channels // self.window.groups, self.window.features // self.window.groups

    @property
    def weight_size(self) -> int:
        """Elements of the packed weights."""
        inputs, outputs = self.per_group
        return self.window.groups * outputs * inputs * self.window.kernel[0] * self.window.kernel[1]

    def __str__(self) -> str:
        width = max((panel.width for panel in self.panels), default=0)
        return f"tile {self.tile.columns}x{width}, threads share {'channels' if self.panels_outside else 'pixels'}"


@dataclass(frozen=True)
class DepthwisePlan:
    """How a depthwise convolution is cut.

    With `channels_outside`, all rows of one vector of channels come before the next vector, which suits images that
    fit the second-level cache; otherwise a large image is read once, row by row.
    """

    window: Window
    columns: tuple[Columns, ...]
    channels_outside: bool

    def __str__(self) -> str:
        outside = "channels" if self.channels_outside else "rows"
        return f"tile {max(c.width for c in self.columns)} columns, {outside} outside"


def plan_convolution(call: KernelCall, target: Target) -> ConvolutionPlan:
    """The plan of a cpu.conv2d or cpu.linear call."""
    x, weight = call.operands[:2]
    if call.op == "cpu.linear":
        window = Window.of_linear(x, call.result)
    else:
        window = Window.of_convolution(x, weight, call.result, dict(call.attributes)).flattened()
    tile = choose_tile(window, target.isa)
    tiles = window.batch * window.output[0] * -(-window.output[1] // tile.columns)
    exceeds_cache = weight.bytes > target.host.l2_bytes // 2
    return ConvolutionPlan(
        window=window,
        tile=tile,
        panels=tuple(panels(window.features // window.groups, tile.vectors, target.isa)),
        columns=tuple(columns(window, tile.columns)),
        panels_outside=tiles < FEW_TILES or exceeds_cache,
    )


def plan_depthwise(call: KernelCall, target: Target) -> DepthwisePlan:
    """The plan of a cpu.depthwise_conv2d call."""
    x, weight = call.operands[:2]
    window = Window.of_convolution(x, weight, call.result, dict(call.attributes))
    fits = x.bytes // window.batch <= target.host.l2_bytes * 6 // 10
    enough = window.channels >= 4 * target.isa.lanes
    return DepthwisePlan(window, tuple(columns(window, min(DEPTHWISE_COLUMNS, window.output[1]))), fits and enough)


def describe(call: KernelCall, target: Target) -> str:
    """How the call is cut, in words for the placement table."""
    if call.op in ("cpu.conv2d", "cpu.linear"):
        return str(plan_convolution(call, target))
    return str(plan_depthwise(call, target))


def pack(call: KernelCall, target: Target, operands: Mapping[int, Array]) -> dict[int, Array]:
    """The constant operands, by index, in the order in which the kernel reads them."""
    packed = dict(operands)
    if call.op in ("cpu.conv2d", "cpu.linear"):
        cut = plan_convolution(call, target)
        weight = np.asarray(operands[1])
        shape = weight.shape if weight.ndim == 4 else (1, 1, *weight.shape)
        packed[1] = pack_convolution(weight.reshape(shape), cut.window.groups, cut.panels)
    elif call.op == "cpu.depthwise_conv2d":
        packed[1] = np.asarray(operands[1]).reshape(-1)
    return packed
