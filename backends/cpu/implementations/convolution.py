"""Convolutions in float32 that are not pointwise: stems, also of planes, strided, dilated and grouped ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nascompiler.backends.cpu.dialect import PLANAR
from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, MOST_ROWS
from nascompiler.backends.cpu.implementations.sliced_convolution import sliced_convolutions
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.slicing import window_slicing_gain
from nascompiler.backends.cpu.tiling import Window
from nascompiler.backends.kernels.convolution import Convolution
from nascompiler.backends.kernels.gemm import Panels
from nascompiler.backends.target import Isa, Target
from nascompiler.ir.types import Array, TensorType

MOST_PIXELS = 16
"""Pixels of a tile whose addresses are known distances apart."""

LONGEST_STEP = 32
"""Distance of neighbouring windows up to which it goes into the code, as in stems; each makes a kernel of its own."""

MOST_UNROLLED = 8
"""Steps over a segment between two branches."""


MOST_PLANES = 8
"""Planes of an image that is read as it comes: more would better be transposed for all."""


@implements("cpu.conv2d", "cpu.planar_conv2d")
def convolution(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Register tiles by every width, rows outside, or panels when weights fill the cache; and slices of bytes."""
    x, weight, _, *residual = call.operands
    planar = call.op == "cpu.planar_conv2d"
    if planar:
        x = TensorType(tuple(x.static_shape[axis] for axis in PLANAR), x.dtype)
    window = Window.of_convolution(x, weight, call.result, dict(call.attributes))
    if window.is_pointwise and window.groups == 1:
        return ()
    isa, features = target.isa, window.features // window.groups
    if window.groups > 1 and 2 * features < isa.lanes:
        return ()  # vectors would be mostly empty; the template makes shorter ones
    kernel_height, kernel_width = window.kernel
    if planar and (window.groups > 1 or window.dilation[1] > 1 or window.channels > MOST_PLANES):
        return ()
    is_one_segment = window.groups == 1 and (kernel_width == 1 or window.dilation[1] == 1)
    segments = 1 if is_one_segment else kernel_width
    k = kernel_width // segments * (1 if planar else window.channels // window.groups)
    step = window.strides[1] * (1 if planar else window.channels)
    step = step if step <= LONGEST_STEP else 0
    # overlapping windows in one piece of code would make LLVM keep the elements they share in registers it lacks
    divisor = k if planar else max(d for d in range(1, min(MOST_UNROLLED, step or k) + 1) if k % d == 0)
    found = []
    for pixels, vectors in _tiles(window.output[1], features, isa, MOST_PIXELS if step else MOST_ROWS):
        panels = Panels.of(features, isa.lanes, vectors)
        assert panels is not None
        span = (pixels - 1) * window.strides[1] + (kernel_width - 1) * window.dilation[1] + 1
        exceeds = weight.bytes > target.host.l2_bytes // 2
        for panels_outside in (exceeds, not exceeds) if panels.wide + panels.narrow > 1 else (False,):
            kernel = Convolution(
                isa=isa,
                pixels=pixels,
                vectors=vectors,
                activation=(call["activation"], call["activation_parameters"]),
                residual=bool(residual),
                panels_outside=panels_outside,
                columns=features if features < isa.lanes else 0,
                divisor=divisor,
                step=step,
                single=window.groups == segments == panels.wide + panels.narrow == 1,
                planar=planar,
            )
            rows, order = window.batch * window.output[0], "panels" if panels_outside else "rows"
            chunks = min(panels.wide + panels.narrow if panels_outside else rows, CHUNKS)
            found.append(
                Implementation(
                    variant=f"convolution {pixels}x{vectors * isa.lanes}, {order} outside",
                    kernel=kernel,
                    operands={"x": 0, **({"residual": 3} if residual else {})},
                    constants=_constants(panels, window.groups, planar),
                    sizes={
                        "rows": rows,
                        "result_height": window.output[0],
                        "result_width": window.output[1],
                        "n": window.features,
                        "height": window.size[0],
                        "width": window.size[1],
                        "c": window.channels,
                        "groups": window.groups,
                        "group_c": window.channels // window.groups,
                        "group_n": features,
                        "kernel_height": kernel_height,
                        "segments": segments,
                        "k": k,
                        "extent_height": (kernel_height - 1) * window.dilation[0] + 1,
                        "span": span,
                        "stride_height": window.strides[0],
                        "stride_width": window.strides[1],
                        "dilation_height": window.dilation[0],
                        "dilation_width": window.dilation[1],
                        "top": window.padding[0],
                        "left": window.padding[1],
                        "wide": panels.wide,
                        "narrow": panels.narrow,
                    },
                    chunks=chunks,
                    workspace=chunks * (kernel_height * span * window.channels + isa.lanes),
                )
            )
    sliced = [] if planar else sliced_convolutions(call, window, target)
    return [*sliced, *found] if sliced and window_slicing_gain(window, target) > 1 else [*found, *sliced]


def _tiles(width: int, features: int, isa: Isa, most_pixels: int) -> list[tuple[int, int]]:
    """Pixels and vectors of register tiles for rows of `width` pixels, the best guess first: for each number of vectors
    the pixels that waste least.

    A step of a tile takes as long as its multiply-adds or its loads, two a cycle, and no less than a sum has to wait.
    """

    best = []
    for vectors in range(1, 4):
        panels = Panels.of(features, isa.lanes, vectors)
        if panels is None or not panels.wide:
            continue
        counts = [vectors] * panels.wide + [vectors - 1] * panels.narrow
        most = min(width, isa.accumulators // vectors, most_pixels)
        cycles = {
            pixels: -(-width // pixels) * sum(max(pixels * v, pixels + v, 8) / 2 + 0.5 for v in counts)
            for pixels in range(1, most + 1)
        }
        pixels = min(cycles, key=cycles.__getitem__)
        best.append((cycles[pixels], pixels, vectors))
    return [(pixels, vectors) for _, pixels, vectors in sorted(best)]


def _constants(panels: Panels, groups: int, planar: bool) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        weight, bias = (np.asarray(operands[i]) for i in (1, 2))
        if planar:
            weight = weight.transpose(2, 0, 1, 3)
        parts = np.split(weight.reshape(-1, weight.shape[-1]), groups, axis=1)
        missing = max(panels.lanes - panels.columns, 0)
        return {"weight": np.concatenate([panels.pack(part) for part in parts]), "bias": np.pad(bias, (0, missing))}

    return pack
