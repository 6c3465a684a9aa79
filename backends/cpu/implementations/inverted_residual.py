"""Pointwise expansions and the depthwise convolutions behind them in one kernel, with or without the projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, MOST_ROWS, pack_panels
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.activation import Activation
from nascompiler.backends.kernels.expanded_depthwise import ExpandedDepthwise
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.inverted_residual import InvertedResidual
from nascompiler.backends.kernels.pixel_pairs import halves_of, pack_pairs
from nascompiler.backends.kernels.ring import Window
from nascompiler.backends.target import Isa, Target
from nascompiler.ir.types import Array

MOST_VECTORS = 3
"""Vectors of a panel; two or three leave registers for seven rows."""

KERNELS = (3, 5, 7)
"""Depthwise kernels, which are unrolled."""

ROWS_PER_CHUNK = 8
"""Rows of the result below which a part is not worth the rows of the expansion that neighbouring parts both compute."""


@implements("cpu.inverted_residual")
def inverted_residual(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """A ring of expanded rows: one or two rows of the result in a step, from the widest register tiles down."""
    isa = target.isa
    geometry = _geometry(call, target)
    if geometry is None:
        return ()
    expanded, n = geometry["expanded"], call.operands[5].static_shape[3]
    is_residual = len(call.operands) > 7
    found: dict[InvertedResidual, Implementation] = {}
    for most in range(MOST_VECTORS, 1, -1):
        of_expansion, of_projection = (min(-(-channels // isa.lanes), most) for channels in (expanded, n))
        expansion = Panels.of(expanded, isa.lanes, of_expansion)
        projection = Panels.of(n, isa.lanes, of_projection)
        if expansion is None or projection is None:
            continue
        known = {
            **geometry,
            "n": n,
            "expand_wide": expansion.wide,
            "expand_narrow": expansion.narrow,
            "project_wide": projection.wide,
            "project_narrow": projection.narrow,
        }
        width = geometry["result_width"]
        windows = _paired_windows(call, n, isa)
        windows += [(window, 0) for window in _windows(call, _rows(of_projection, width, isa), isa)]
        for window, halves in windows:
            kernel = InvertedResidual(
                isa=isa,
                window=window,
                rows=_rows(of_expansion, geometry["width"], isa),
                expand_vectors=of_expansion,
                project_vectors=0 if halves else of_projection,
                expand_activation=_activation(call, "expand_"),
                depthwise_activation=_activation(call, "depthwise_"),
                activation=_activation(call, ""),
                residual=is_residual,
                columns=n if n < isa.lanes and not halves else 0,
                halves=halves,
            )
            sizes = {name: known[name] for name in kernel.sizes}
            chunks = max(1, min(max(target.threads, 2), sizes["result_height"] // ROWS_PER_CHUNK))
            expanding = f"{kernel.rows}x{of_expansion * isa.lanes}"
            projecting = f"{window.pixels}x{of_projection * isa.lanes}"
            if halves:
                projecting = f"{window.height * window.pixels}x{n} in pairs"
            found[kernel] = Implementation(
                variant=f"{_steps(window)}, {expanding} and {projecting}",
                kernel=kernel,
                operands={"x": 0, **({"residual": 7} if is_residual else {})},
                constants=_constants(expansion, projection, paired=halves > 0),
                sizes=sizes,
                chunks=chunks,
                workspace=chunks * kernel.workspace_size(sizes),
            )
    return list(found.values())


@implements("cpu.expanded_depthwise_conv2d_pooled")
def expanded_depthwise(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """A ring of expanded rows for each panel of channels: one or two rows of the result in a step."""
    isa = target.isa
    geometry = _geometry(call, target)
    if geometry is None or len(call.operands) > 5:
        return ()
    vectors = min(-(-geometry["expanded"] // isa.lanes), MOST_VECTORS)
    panels = Panels.of(geometry["expanded"], isa.lanes, vectors)
    if panels is None:
        return ()
    found = []
    for window in _windows(call, min(MOST_ROWS, geometry["result_width"]), isa):
        kernel = ExpandedDepthwise(
            isa=isa,
            window=window,
            rows=_rows(vectors, geometry["width"], isa),
            vectors=vectors,
            expand_activation=_activation(call, "expand_"),
            activation=_activation(call, ""),
            overlaps=geometry["result_width"] % window.pixels > 0 or geometry["result_height"] % window.height > 0,
        )
        known = {**geometry, "wide": panels.wide, "narrow": panels.narrow}
        sizes = {name: known[name] for name in kernel.sizes}
        chunks = min(panels.wide + panels.narrow, CHUNKS)
        found.append(
            Implementation(
                variant=f"{_steps(window)}, {kernel.rows}x{vectors * isa.lanes}",
                kernel=kernel,
                operands={"x": 0},
                constants=_constants(panels, None),
                sizes=sizes,
                chunks=chunks,
                workspace=chunks * kernel.workspace_size(sizes),
            )
        )
    return found


def _geometry(call: KernelCall, target: Target) -> dict[str, int] | None:
    """The sizes that both kernels have, or None where they do not fit a call."""
    stride, (top, left, _, _) = call["strides"][0], call["padding"]
    images, height, width, c = call.operands[0].static_shape
    _, result_height, result_width, _ = call.results[0].static_shape
    kernel, kernel_width, _, expanded = call.operands[3].static_shape
    is_square = kernel == kernel_width and call["strides"][1] == stride
    if not is_square or kernel not in KERNELS or stride > kernel:
        return None
    if expanded < target.isa.lanes or max(top, left) >= kernel:
        return None
    return {
        "images": images,
        "height": height,
        "width": width,
        "c": c,
        "expanded": expanded,
        "result_height": result_height,
        "result_width": result_width,
        "top": top,
        "left": left,
    }


def _windows(call: KernelCall, pixels: int, isa: Isa) -> list[Window]:
    """The steps in which rows can be made, the best guess first: rows in pairs share most of what is under them."""
    kernel, stride, height = call.operands[3].static_shape[0], call["strides"][0], call.results[0].static_shape[1]
    heights = [1] if height == 1 else [2, 1] if stride == 1 and height % 2 == 0 else [1, 2]
    return [Window(kernel, stride, rows, min(pixels, isa.accumulators // rows)) for rows in heights]


def _paired_windows(call: KernelCall, n: int, isa: Isa) -> list[tuple[Window, int]]:
    """Steps whose pixels are projected in pairs, with the halves of a vector that n is; none where that saves nothing.

    Two rows come first: they make pairs of any width.
    """
    halves, width = halves_of(n, isa.lanes), call.results[0].static_shape[2]
    most = min(isa.accumulators // halves * 2, isa.accumulators) if halves else 0
    if most < MOST_ROWS:
        return []
    found = []
    for window in sorted(_windows(call, most, isa), key=lambda window: -window.height):
        widest = min(most // window.height, width)
        pixels = -(-width // -(-width // widest))  # so that those of a row overlap least
        pixels += window.height * pixels % 2
        if pixels <= widest:
            found.append((replace(window, pixels=pixels), halves))
    return found


def _steps(window: Window) -> str:
    return "row by row" if window.height == 1 else "rows in pairs"


def _rows(vectors: int, pixels: int, isa: Isa) -> int:
    """Pixels of a register tile so many vectors wide."""
    return min(MOST_ROWS, isa.accumulators // vectors, pixels)


def _activation(call: KernelCall, prefix: str) -> Activation:
    return call[f"{prefix}activation"], call[f"{prefix}activation_parameters"]


def _constants(
    expansion: Panels, projection: Panels | None, *, paired: bool = False
) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    """Packs the weights and biases of the expansion, the depthwise convolution and the projection, if there is one."""
    vectors = Panels.of(expansion.columns, expansion.lanes, 1)
    assert vectors is not None

    def matrix(array: Array) -> Array:
        return np.asarray(array).reshape(-1, array.shape[-1])

    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        packed = {
            "expand_weight": expansion.pack(matrix(operands[1])),
            "expand_bias": vectors.pack(matrix(operands[2])),
            "depthwise_weight": vectors.pack(matrix(operands[3])),
            "depthwise_bias": vectors.pack(matrix(operands[4])),
        }
        if projection is not None and paired:
            packed |= {"project_weight": pack_pairs(matrix(operands[5])), "project_bias": np.asarray(operands[6])}
        elif projection is not None:
            project = pack_panels(projection)({1: operands[5], 2: operands[6]})
            packed |= {"project_weight": project["weight"], "project_bias": project["bias"]}
        return packed

    return pack
