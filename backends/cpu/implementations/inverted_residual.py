"""Depthwise convolutions in one kernel with the pointwise ones around them, in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, MOST_ROWS
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.activation import NONE, Activation
from nascompiler.backends.kernels.expanded_depthwise import ExpandedDepthwise
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.inverted_residual import InvertedResidual
from nascompiler.backends.kernels.ring import Window
from nascompiler.backends.target import Isa, Target
from nascompiler.ir.types import Array

MOST_VECTORS = 3
"""Vectors of a panel; two or three leave registers for seven rows."""

KERNELS = (3, 5, 7)
"""Depthwise kernels, which are unrolled."""

ROWS_PER_CHUNK = 8
"""Rows of the result below which a part is not worth the rows of the expansion that neighbouring parts both compute."""

_BEFORE: Mapping[str, Activation] = {"cpu.separable_conv2d": NONE, "cpu.rectified_separable_conv2d": ("relu", ())}
"""What is applied to x where there is no expansion."""


@implements("cpu.inverted_residual", "cpu.separable_conv2d", "cpu.rectified_separable_conv2d")
def inverted_residual(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """A ring of expanded rows: one or two rows of the result in a step, from the widest register tiles down."""
    isa, is_expanded = target.isa, call.op == "cpu.inverted_residual"
    expand = 1 if is_expanded else None
    depthwise = 3 if is_expanded else 1
    project = depthwise + 2
    geometry = _geometry(call, depthwise, target)
    if geometry is None:
        return ()
    expanded, n = geometry["expanded"], call.operands[project].static_shape[3]
    is_residual = len(call.operands) > project + 2
    found: dict[InvertedResidual, Implementation] = {}
    for most in range(MOST_VECTORS, 1, -1):
        of_expansion = _vectors(expanded, most, isa) if is_expanded else 0
        of_projection = _vectors(n, most, isa)
        expansion = Panels.of(expanded, isa.lanes, max(of_expansion, 1))
        projection = Panels.of(n, isa.lanes, of_projection)
        if expansion is None or projection is None:
            continue
        for window in _windows(call, depthwise, _rows(of_projection, geometry["result_width"], isa)):
            kernel = InvertedResidual(
                isa=isa,
                window=window,
                rows=_rows(of_expansion, geometry["width"], isa),
                expand_vectors=of_expansion,
                project_vectors=of_projection,
                expand_activation=_activation(call, "expand_") if is_expanded else _BEFORE[call.op],
                depthwise_activation=_activation(call, "depthwise_"),
                activation=_activation(call, ""),
                residual=is_residual,
                columns=n if n < isa.lanes else 0,
            )
            names = kernel.sizes
            known = {
                **geometry,
                "n": n,
                "expand_wide": expansion.wide,
                "expand_narrow": expansion.narrow,
                "project_wide": projection.wide,
                "project_narrow": projection.narrow,
            }
            sizes = {name: known[name] for name in names}
            chunks = max(1, min(max(target.threads, 2), sizes["result_height"] // ROWS_PER_CHUNK))
            tiles = [(kernel.rows, of_expansion), (window.pixels, of_projection)]
            found[kernel] = Implementation(
                variant=f"{_steps(window)} {' and '.join(f'{r}x{v * isa.lanes}' for r, v in tiles if v)}",
                kernel=kernel,
                operands={"x": 0, **({"residual": project + 2} if is_residual else {})},
                constants=_constants(expand, depthwise, project, expansion, projection),
                sizes=sizes,
                chunks=chunks,
                workspace=chunks * kernel.workspace_size(sizes),
            )
    return list(found.values())


@implements("cpu.expanded_depthwise_conv2d_pooled")
def expanded_depthwise(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """A ring of expanded rows for each panel of channels: one or two rows of the result in a step."""
    isa = target.isa
    geometry = _geometry(call, 3, target)
    if geometry is None or len(call.operands) > 5:
        return ()
    vectors = _vectors(geometry["expanded"], MOST_VECTORS, isa)
    panels = Panels.of(geometry["expanded"], isa.lanes, vectors)
    if panels is None:
        return ()
    found = []
    for window in _windows(call, 3, min(MOST_ROWS, geometry["result_width"])):
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
                variant=f"{_steps(window)} {kernel.rows}x{vectors * isa.lanes}",
                kernel=kernel,
                operands={"x": 0},
                constants=_constants(1, 3, None, panels, None),
                sizes=sizes,
                chunks=chunks,
                workspace=chunks * kernel.workspace_size(sizes),
            )
        )
    return found


def _geometry(call: KernelCall, depthwise: int, target: Target) -> dict[str, int] | None:
    """The sizes that calls have in common; operand `depthwise` is the depthwise weight. None where no kernel fits."""
    weight, stride, (top, left, _, _) = call.operands[depthwise], call["strides"][0], call["padding"]
    images, height, width, c = call.operands[0].static_shape
    _, result_height, result_width, _ = call.results[0].static_shape
    kernel, kernel_width, _, expanded = weight.static_shape
    is_square = kernel == kernel_width and call["strides"][1] == stride
    if not is_square or kernel not in KERNELS or stride > kernel or expanded < target.isa.lanes:
        return None
    if max(top, left) >= kernel:
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


def _windows(call: KernelCall, depthwise: int, pixels: int) -> list[Window]:
    """The steps in which rows can be made, the best guess first: rows in pairs share most of what is under them."""
    kernel, stride, height = (
        call.operands[depthwise].static_shape[0],
        call["strides"][0],
        call.results[0].static_shape[1],
    )
    heights = [1] if height == 1 else [2, 1] if stride == 1 and height % 2 == 0 else [1, 2]
    return [Window(kernel, stride, rows, pixels) for rows in heights]


def _steps(window: Window) -> str:
    return f"{'row by row' if window.height == 1 else 'rows in pairs'},"


def _vectors(channels: int, most: int, isa: Isa) -> int:
    return min(-(-channels // isa.lanes), most)


def _rows(vectors: int, pixels: int, isa: Isa) -> int:
    """Pixels of a register tile so many vectors wide."""
    return min(MOST_ROWS, isa.accumulators // max(vectors, 1), pixels)


def _activation(call: KernelCall, prefix: str) -> Activation:
    return call[f"{prefix}activation"], call[f"{prefix}activation_parameters"]


def _constants(
    expand: int | None, depthwise: int, project: int | None, expansion: Panels, projection: Panels | None
) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    """Packs the operands at these places: weights, with the bias behind them."""
    vectors = Panels.of(expansion.columns, expansion.lanes, 1)
    assert vectors is not None

    def matrix(operands: Mapping[int, Array], index: int) -> Array:
        weight: Array = np.asarray(operands[index])
        return weight.reshape(-1, weight.shape[-1])

    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        packed: dict[str, Any] = {}
        if expand is not None:
            packed["expand_weight"] = expansion.pack(matrix(operands, expand))
            packed["expand_bias"] = vectors.pack(matrix(operands, expand + 1))
        packed["depthwise_weight"] = vectors.pack(matrix(operands, depthwise))
        packed["depthwise_bias"] = vectors.pack(matrix(operands, depthwise + 1))
        if project is not None and projection is not None:
            packed["project_weight"] = projection.pack(matrix(operands, project))
            missing = max(projection.lanes - projection.columns, 0)
            packed["project_bias"] = np.pad(np.asarray(operands[project + 1]), (0, missing))
        return packed

    return pack
