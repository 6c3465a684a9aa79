"""What emitting instructions needs to know and to keep: addresses, the ring of accumulators, parameter memory."""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field

import numpy as np

from nascompiler.backends.tpu.compiler.constants import Finish, table_of
from nascompiler.backends.tpu.compiler.memory import Bytes, WeightMemory, aligned
from nascompiler.backends.tpu.compiler.tensors import Tensor, View
from nascompiler.backends.tpu.compiler.work import Window
from nascompiler.backends.tpu.isa import ProgramBuilder
from nascompiler.backends.tpu.machine import Machine
from nascompiler.ir.errors import ModelError
from nascompiler.ir.graph import Node

MOST_ROWS = 0xFFFF
"""Rows or lanes that one instruction can count."""

TABLE_ENTRIES = 256


@dataclass(frozen=True)
class Slice:
    """The images that are being computed: so many from `first` on, or all of them where `images` is None. Tensors in
    `whole` hold all images of the batch, the others those that are being computed."""

    first: int = 0
    images: int | None = None
    whole: frozenset[Tensor] = frozenset()


@dataclass
class Emitter:
    """The state of a program under construction."""

    machine: Machine
    addresses: Dictionary[Tensor, int]
    weights: WeightMemory
    accumulators: int
    """How many accumulator rows are used."""
    builder: ProgramBuilder = field(default_factory=ProgramBuilder)
    accumulator: int = 0
    """The next accumulator row: they are used in turn, so that one part is drained while another is filled."""
    parameter: int = 0
    """The next free byte of parameter memory, which is used in turn as well."""

    def base(self, view: View, part: Slice) -> int:
        """The address of the first element of a view's first image."""
        first = part.first if view.tensor in part.whole else 0
        return self.addresses[view.tensor] + view.offset + first * view.image_stride

    def images(self, view: View, part: Slice) -> int:
        """How many images of a view are being computed."""
        return view.geometry.images if part.images is None else part.images

    def load_parameters(self, dram: int, size: int, what: str) -> int:
        """Bring parameters from weight memory to where nothing is that is still wanted soon; gives their address."""
        capacity = self.machine.parameter_memory_bytes
        if size > capacity:
            raise ModelError(
                f"{what}: its parameters take {size} bytes, and parameter memory has {capacity}; one with more is "
                f"{self.machine.name}{{parameter-memory={-(-size // 1024)}KiB}}"
            )
        if self.parameter + size > capacity:
            self.parameter = 0
        address = self.parameter
        self.builder.read_parameters(address, dram, size)
        self.parameter = aligned(address + size)
        return address

    def configure_finish(self, finish: Finish) -> None:
        """Registers that say how results are rounded."""
        self.builder.configure(
            A_FUNCTION=finish.function,
            A_INVERSE_SCALE=finish.inverse_scale,
            A_ZERO_POINT=finish.zero_point,
            A_LOW=finish.low,
            A_HIGH=finish.high,
            A_VALUE_TYPE=finish.value_type,
            A_OUT_TYPE=finish.out_type,
        )

    def configure_source(self, view: View, window: Window) -> None:
        """Registers of the window that POL and DWC move over a view."""
        g = view.geometry
        self.builder.configure(
            A_KERNEL_HEIGHT=window.kernel[0],
            A_KERNEL_WIDTH=window.kernel[1],
            A_STRIDE_Y=window.strides[0],
            A_STRIDE_X=window.strides[1],
            A_PAD_TOP=window.top,
            A_PAD_LEFT=window.left,
            A_DILATION_Y=window.dilation[0],
            A_DILATION_X=window.dilation[1],
            A_HEIGHT=g.height,
            A_WIDTH=g.width,
            A_SOURCE_PIXEL_STRIDE=view.pixel_stride,
            A_SOURCE_ROW_STRIDE=view.row_stride,
            A_SOURCE_IMAGE_STRIDE=view.image_stride,
        )


def lane_blocks(channels: int, side: int) -> list[tuple[int, int]]:
    """Channels cut into what the unit has lanes for: first channel and number."""
    return [(first, min(side, channels - first)) for first in range(0, channels, side)]


def table_bytes(lookup: Node | None) -> int:
    """Bytes of a table in parameter memory."""
    return 0 if lookup is None else TABLE_ENTRIES * lookup.result.type.dtype.bytes


def table_image(lookup: Node) -> Bytes:
    """The table as it stands in parameter memory."""
    return table_of(lookup).view(np.uint8).reshape(-1)
