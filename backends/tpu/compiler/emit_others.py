"""Instructions for what has no weights: element by element, pooling, and traffic with the host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nascompiler.backends.tpu.compiler.constants import ELEMENT_TYPES, finish_of
from nascompiler.backends.tpu.compiler.emission import MOST_ROWS, Emitter, Slice, lane_blocks, table_bytes, table_image
from nascompiler.backends.tpu.compiler.tensors import View
from nascompiler.backends.tpu.compiler.work import ElementwiseWork, PoolWork
from nascompiler.backends.tpu.isa import ActFlag, VecFunction
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.graph import Node

_FUNCTIONS = {
    "add": VecFunction.ADD,
    "mul": VecFunction.MULTIPLY,
    "requantize": VecFunction.REQUANTIZE,
    "lookup": VecFunction.COPY,
    "copy": VecFunction.COPY,
}


def emit_pool(emitter: Emitter, work: PoolWork, part: Slice) -> None:
    """Maximum or average under a window."""
    x, write, node = work.reads[0], work.write, work.node
    emitter.configure_source(x, work.window)
    emitter.builder.configure(
        A_SOURCE_TYPE=ELEMENT_TYPES[x.dtype],
        A_OUT_STRIDE=write.even_stride,
        A_GRID_WIDTH=write.geometry.width,
        A_GRID_HEIGHT=write.geometry.height,
    )
    flags = 0
    if work.kind == "average":
        emitter.configure_finish(finish_of(node))
        ratio = arithmetic.ratio(node["x_scale"], node["scale"])
        emitter.builder.configure(A_SOURCE_ZERO_POINT=node["x_zero_point"], A_RATIO=float(ratio))
        flags = ActFlag.AVERAGE | (ActFlag.COUNT_PADDING if work.count_padding else 0)
    else:
        kind = ELEMENT_TYPES[x.dtype]
        low, high = arithmetic.limits(x.dtype)
        emitter.builder.configure(A_VALUE_TYPE=kind, A_OUT_TYPE=kind, A_LOW=low, A_HIGH=high)
    total = emitter.images(write, part) * write.geometry.pixels
    for channel, lanes in lane_blocks(write.geometry.channels, emitter.machine.array):
        emitter.builder.configure(A_SOURCE=emitter.base(x, part) + channel * x.element)
        place = emitter.base(write, part) + channel * write.element
        for first in range(0, total, MOST_ROWS):
            count = min(MOST_ROWS, total - first)
            emitter.builder.pool(place + first * write.even_stride, count, lanes, flags=flags, position=first)


def emit_elementwise(emitter: Emitter, work: ElementwiseWork, part: Slice) -> None:
    """Copies, tables, changes of scale, sums and products."""
    builder = emitter.builder
    table = work.node if work.kind == "lookup" else work.lookup
    if table is not None:
        size = table_bytes(table)
        dram = emitter.weights.place((table, "table"), size, lambda: table_image(table))
        builder.configure(A_TABLE=emitter.load_parameters(dram, size, work.label))
    _configure_elementwise(emitter, work, table)
    flags = ActFlag.TABLE if table is not None else 0
    function = _FUNCTIONS[work.kind]
    for run in _runs(emitter, work, part):
        strides = {"A_A_STRIDE": run.strides[0], "A_OUT_STRIDE": run.strides[-1]}
        if len(run.places) == 3:
            strides |= {"A_B_STRIDE": run.strides[1], "A_B_BASE": run.places[1]}
        builder.configure(**strides)
        builder.vector(function, run.places[-1], run.places[0], run.rows, run.lanes, flags=flags)


def _configure_elementwise(emitter: Emitter, work: ElementwiseWork, table: Node | None) -> None:
    node, builder = work.node, emitter.builder
    a_type = ELEMENT_TYPES[work.reads[0].dtype]
    builder.configure(A_A_TYPE=a_type)
    if work.kind in ("copy", "lookup"):
        builder.configure(A_VALUE_TYPE=a_type, A_OUT_TYPE=ELEMENT_TYPES[work.write.dtype])
        return
    emitter.configure_finish(finish_of(node, table if work.kind != "lookup" else None))
    if work.kind == "requantize":
        ratio = arithmetic.ratio(node["x_scale"], node["scale"])
        builder.configure(A_A_ZERO_POINT=node["x_zero_point"], A_A_RATIO=float(ratio))
        return
    names = ["a", "b"]
    if work.swapped:
        names.reverse()
    first, second = names
    b = work.reads[1]
    builder.configure(
        A_A_ZERO_POINT=node[f"{first}_zero_point"],
        A_B_ZERO_POINT=node[f"{second}_zero_point"],
        A_B_TYPE=ELEMENT_TYPES[b.dtype],
        A_B_LANE_STRIDE=b.element,
    )
    if work.kind == "add":
        builder.configure(
            A_A_RATIO=float(arithmetic.ratio(node[f"{first}_scale"], node["scale"])),
            A_B_RATIO=float(arithmetic.ratio(node[f"{second}_scale"], node["scale"])),
        )
    else:
        product = arithmetic.multipliers(node["a_scale"], np.asarray(node["b_scale"], np.float32), node["scale"])
        builder.configure(A_A_RATIO=float(product))


@dataclass(frozen=True)
class _Run:
    """One instruction: rows of lanes. `places` and `strides` are of the operands, then of the result."""

    rows: int
    lanes: int
    places: tuple[int, ...]
    strides: tuple[int, ...]


def _runs(emitter: Emitter, work: ElementwiseWork, part: Slice) -> Iterator[_Run]:
    """The instructions that go through all elements."""
    write, views, side = work.write, work.views, emitter.machine.array
    images = emitter.images(write, part)
    bases = tuple(emitter.base(v, part) for v in views)
    pixels = write.geometry.pixels
    if work.broadcast:
        strides: tuple[int, ...] = (views[0].pixel_stride, 0, write.pixel_stride)
        for image in range(images):
            places = tuple(base + image * v.image_stride for base, v in zip(bases, views, strict=True))
            yield from _rows(work, places, strides, pixels, side)
    elif all(v.is_solid for v in views):
        total = images * pixels * write.geometry.channels
        rows = total // side
        strides = tuple(side * v.element for v in views)
        yield from _split(bases, strides, rows, side)
        if total % side:
            yield _Run(1, total % side, _after(bases, strides, rows), strides)
    elif all(v.is_even for v in views):
        yield from _rows(work, bases, tuple(v.even_stride for v in views), images * pixels, side)
    else:
        for image in range(images):
            for row in range(write.geometry.height):
                places = tuple(
                    b + image * v.image_stride + row * v.row_stride for b, v in zip(bases, views, strict=True)
                )
                yield from _rows(work, places, tuple(v.pixel_stride for v in views), write.geometry.width, side)


def _after(places: tuple[int, ...], strides: tuple[int, ...], rows: int) -> tuple[int, ...]:
    """Addresses so many rows further on."""
    return tuple(place + rows * stride for place, stride in zip(places, strides, strict=True))


def _rows(
    work: ElementwiseWork, places: tuple[int, ...], strides: tuple[int, ...], rows: int, side: int
) -> Iterator[_Run]:
    """Rows that are pixels, their channels cut into what the unit has lanes for."""
    for channel, lanes in lane_blocks(work.write.geometry.channels, side):
        moved = tuple(place + channel * v.element for place, v in zip(places, work.views, strict=True))
        yield from _split(moved, strides, rows, lanes)


def _split(places: tuple[int, ...], strides: tuple[int, ...], rows: int, lanes: int) -> Iterator[_Run]:
    for first in range(0, rows, MOST_ROWS):
        yield _Run(min(MOST_ROWS, rows - first), lanes, _after(places, strides, first), strides)


def emit_read(emitter: Emitter, view: View, host: int, part: Slice) -> None:
    """Images from host memory, where they stand side by side, to a tensor that is written whole.

    Host memory is addressed in steps of 64 bytes: up to 63 bytes in front come along, to where nothing else is.
    """
    size = emitter.images(view, part) * view.image_stride
    start = host + (part.first * view.image_stride if part.images is not None else 0)
    extra = start % 64
    emitter.builder.read_host(emitter.base(view, part) - extra, start - extra, size + extra)


def emit_write(emitter: Emitter, view: View, host: int) -> None:
    """A result of all images to host memory."""
    g = view.geometry
    size = g.images * g.pixels * g.channels * view.element
    emitter.builder.write_host(emitter.base(view, Slice()), host, size)
