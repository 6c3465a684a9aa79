"""Squeeze-and-excitation in float32: the gate, and the pointwise convolution of what it scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.fully_connected import SHORT, with_short
from nascompiler.backends.cpu.implementations.pointwise import CHUNKS, pack_panels, tiles
from nascompiler.backends.cpu.implementations.sliced_product import sliced_products
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.slicing import slicing_gain
from nascompiler.backends.kernels.columns import pack_columns
from nascompiler.backends.kernels.gemm import Gemm, Panels
from nascompiler.backends.kernels.gemv import MOST_ROWS
from nascompiler.backends.kernels.squeeze_excite import SqueezeExciteGate
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array


@implements("cpu.squeeze_excite_gate")
def squeeze_excite_gate(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """An image after the other, from its means to its gate; weights that come from afar are short ones, or floats."""
    x, squeeze, _, excite = call.operands[:4]
    batch, height, width, channels = x.static_shape
    squeezed = squeeze.static_shape[1]
    lanes = target.isa.lanes
    chunks = min(batch, CHUNKS)
    scratch = sum(-(-size // lanes) * lanes for size in (channels, squeezed))

    def made(*, short: bool) -> Implementation:
        kernel = SqueezeExciteGate(
            isa=target.isa,
            activation=("clip", (0.0, 6.0)) if call["activation"] == "relu6" else (call["activation"], ()),
            gate=(call["gate"], (call["alpha"], call["beta"]) if call["gate"] == "hard_sigmoid" else ()),
            few=channels if channels < lanes else 0,
            short=short,
        )

        def constants(operands: Mapping[int, Array]) -> dict[str, Array]:
            arrays: dict[str, Array] = {}
            for name, index in (("squeeze", 1), ("excite", 3)):
                weight, bias = np.asarray(operands[index]), np.asarray(operands[index + 1])
                arrays |= pack_columns(name, weight, bias, lanes, short=short)
            return arrays

        return Implementation(
            variant=f"gate{SHORT * short}",
            kernel=kernel,
            operands={"x": 0},
            constants=constants,
            sizes={"images": batch, "pixels": height * width, "channels": channels, "squeezed": squeezed},
            chunks=chunks,
            workspace=chunks * scratch,
        )

    return with_short(made, [(squeeze, 1), (excite, 3)], target)


@implements("cpu.gated_conv2d")
def gated_convolution(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Packed-weight products, by every register tile that fits; rows of x are scaled, or panels of weights outside.

    What is less comes first. Images of few pixels are left to a multiplication and a product that reads weights once.
    """
    x, weight, _, _, *residual = call.operands
    batch, height, width, k = x.static_shape
    m, n = height * width, weight.static_shape[3]
    isa = target.isa
    if k < isa.lanes or m <= MOST_ROWS:
        return ()
    operands = {"x": 0, "gate": 3, **({"residual": 4} if residual else {})}
    found = []
    for rows, vectors in tiles(m, n, target):
        panels = Panels.of(n, isa.lanes, vectors)
        if panels is None:
            continue
        for panels_outside in (n < m, n >= m):
            pieces = panels.wide + panels.narrow if panels_outside else batch * -(-m // rows)
            chunks = min(pieces, CHUNKS)
            outside = "panels" if panels_outside else "rows"
            kernel = Gemm(
                isa=isa,
                rows=rows,
                vectors=vectors,
                activation=(call["activation"], call["activation_parameters"]),
                residual=bool(residual),
                gate=True,
                panels_outside=panels_outside,
                columns=n if n < isa.lanes else 0,
            )
            found.append(
                Implementation(
                    variant=f"gated gemm {rows}x{vectors * isa.lanes}, {outside} outside",
                    kernel=kernel,
                    operands=operands,
                    constants=pack_panels(panels),
                    sizes={"m": m, "n": n, "k": k, "wide": panels.wide, "narrow": panels.narrow, "images": batch},
                    chunks=chunks,
                    workspace=chunks * k * (vectors * isa.lanes if panels_outside else rows),
                )
            )
    sliced = sliced_products(call, target, operands)
    return [*sliced, *found] if slicing_gain(m, n, k, target) > 1 else [*found, *sliced]
