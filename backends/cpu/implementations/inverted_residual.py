"""Inverted residuals and separable convolutions in float32, computed in one pass over the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import MOST_ROWS
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.activation import NONE, Activation
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.inverted_residual import InvertedResidual, workspace_size
from nascompiler.backends.target import Target
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
    """A ring of expanded rows, from the widest register tiles down."""
    isa, is_expanded = target.isa, call.op == "cpu.inverted_residual"
    x, result = call.operands[0], call.result
    expand = 1 if is_expanded else None
    depthwise = 3 if is_expanded else 1
    project = depthwise + 2
    residual = project + 2
    images, height, width, c = x.static_shape
    kernel, kernel_width, _, expanded = call.operands[depthwise].static_shape
    stride, top, left = call["strides"][0], call["padding"][0], call["padding"][1]
    _, result_height, result_width, n = result.static_shape
    is_square = kernel == kernel_width and call["strides"][1] == stride
    if not is_square or kernel not in KERNELS or stride > kernel or expanded < isa.lanes or max(top, left) >= kernel:
        return ()

    def vectors(channels: int, most: int) -> int:
        return min(-(-channels // isa.lanes), most)

    def rows(vectors: int, pixels: int) -> int:
        return min(MOST_ROWS, isa.accumulators // max(vectors, 1), pixels)

    found = []
    for most in range(MOST_VECTORS, 1, -1):
        of_expansion = vectors(expanded, most) if is_expanded else 0
        of_projection = vectors(n, most)
        expansion = Panels.of(expanded, isa.lanes, max(of_expansion, 1))
        projection = Panels.of(n, isa.lanes, of_projection)
        if expansion is None or projection is None:
            continue
        made = InvertedResidual(
            isa=isa,
            kernel=kernel,
            stride=stride,
            rows=rows(of_expansion, width),
            pixels=rows(of_projection, result_width),
            expand_vectors=of_expansion,
            project_vectors=of_projection,
            expand_activation=_activation(call, "expand_") if is_expanded else _BEFORE[call.op],
            depthwise_activation=_activation(call, "depthwise_"),
            activation=_activation(call, ""),
            residual=len(call.operands) > residual,
            columns=n if n < isa.lanes else 0,
        )
        sizes = {
            "images": images,
            "height": height,
            "width": width,
            "c": c,
            "expanded": expanded,
            "n": n,
            "result_height": result_height,
            "result_width": result_width,
            "top": top,
            "left": left,
            "expand_wide": expansion.wide,
            "expand_narrow": expansion.narrow,
            "project_wide": projection.wide,
            "project_narrow": projection.narrow,
        }
        chunks = max(1, min(max(target.threads, 2), result_height // ROWS_PER_CHUNK))
        tiles = [(made.rows, of_expansion), (made.pixels, of_projection)]
        found.append(
            Implementation(
                variant=f"ring, {' and '.join(f'{r}x{v * isa.lanes}' for r, v in tiles if v)}",
                kernel=made,
                operands={"x": 0, **({"residual": residual} if made.residual else {})},
                constants=_constants(expand, depthwise, project, expansion, projection),
                sizes=sizes,
                chunks=chunks,
                workspace=chunks * workspace_size(made, sizes),
            )
        )
    return list({made.kernel: made for made in found}.values())


def _activation(call: KernelCall, prefix: str) -> Activation:
    return call[f"{prefix}activation"], call[f"{prefix}activation_parameters"]


def _constants(
    expand: int | None, depthwise: int, project: int, expansion: Panels, projection: Panels
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
        packed["project_weight"] = projection.pack(matrix(operands, project))
        missing = max(projection.lanes - projection.columns, 0)
        packed["project_bias"] = np.pad(np.asarray(operands[project + 1]), (0, missing))
        return packed

    return pack
