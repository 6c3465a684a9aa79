"""Separable convolutions in float32: depthwise and pointwise in one kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, MOST_ROWS, pack_panels
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.kernels.depthwise import Row
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.kernels.separable import Separable
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array


@implements("cpu.separable_conv2d", "cpu.rectified_separable_conv2d")
def separable(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Rows in order, from the widest register tile of the projection down."""
    x, depthwise, _, project, _, *residual = call.operands
    isa, n = target.isa, project.static_shape[3]
    images, height, width, c = x.static_shape
    _, result_height, result_width, _ = call.result.static_shape
    if c < isa.lanes:
        return ()
    window = Window.of_convolution(x, depthwise, call.result, {**dict(call.attributes), "dilation": (1, 1)})
    found: dict[Separable, Implementation] = {}
    for most in (3, 2):
        vectors = min(-(-n // isa.lanes), most)
        panels = Panels.of(n, isa.lanes, vectors)
        columns = 2 * MOST_ROWS if vectors == 1 and isa.accumulators >= 2 * MOST_ROWS else MOST_ROWS
        row = Row.of(window, min(columns, isa.accumulators // vectors, result_width), isa.lanes)
        if panels is None or row is None:
            continue
        kernel = Separable(
            isa=isa,
            row=row,
            vectors=vectors,
            depthwise_activation=(call["depthwise_activation"], call["depthwise_activation_parameters"]),
            activation=(call["activation"], call["activation_parameters"]),
            residual=bool(residual),
            rectified=call.op == "cpu.rectified_separable_conv2d",
            columns=n if n < isa.lanes else 0,
        )
        chunks = min(images * result_height, CHUNKS)
        found[kernel] = Implementation(
            variant=f"tile {row.columns}x{vectors * isa.lanes}",
            kernel=kernel,
            operands={"x": 0, **({"residual": 5} if residual else {})},
            constants=_constants(row, panels),
            sizes={
                "images": images,
                "height": height,
                "width": width,
                "c": c,
                "n": n,
                "result_height": result_height,
                "result_width": result_width,
                "padding_top": window.padding[0],
                "wide": panels.wide,
                "narrow": panels.narrow,
            },
            chunks=chunks,
            workspace=chunks * c * row.columns,
        )
    return list(found.values())


def _constants(row: Row, panels: Panels) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        depthwise, bias = (np.asarray(operands[i]) for i in (1, 2))
        project = pack_panels(panels)({1: operands[3], 2: operands[4]})
        return {
            "depthwise_weight": row.pack(depthwise, bias),
            "project_weight": project["weight"],
            "project_bias": project["bias"],
        }

    return pack
