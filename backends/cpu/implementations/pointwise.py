"""Pointwise convolutions and matrix products of several rows in float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nascompiler.backends.cpu.implementation import Implementation, implements
from nascompiler.backends.cpu.implementations.sliced_product import sliced_products
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.slicing import slicing_gain
from nascompiler.backends.kernels import gemv
from nascompiler.backends.kernels.gemm import Gemm, Panels
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array

MOST_ROWS = 7
"""Planes of mobile networks divide by 7, and so many rows need no more addresses than there are registers."""

SINGLE_ROWS = 10
"""The same where tiles are one vector wide: seven sums would wait for each other."""

FEW_TILES = 8
"""Up to so many tiles of rows, threads share blocks of panels instead."""

CHUNKS = 8
"""Parts that threads share; few enough that a part is worth the hand-over."""


@implements("cpu.conv2d", "cpu.linear")
def gemm(call: KernelCall, target: Target) -> Sequence[Implementation]:
    """Packed-weight products: by tile registers in slices, and by every register tile that fits, with all panels at a
    time or as many as fit a cache."""
    x, weight, _, *residual = call.operands
    if call.op == "cpu.conv2d" and not is_pointwise(call):
        return ()
    k, n = weight.static_shape[-2:]
    m = x.size // k
    if m <= gemv.MOST_ROWS:
        return ()
    isa = target.isa
    operands = {"x": 0, **({"residual": 3} if residual else {})}
    found = []
    for rows, vectors in tiles(m, n, target):
        panels = Panels.of(n, isa.lanes, vectors)
        if panels is None:
            continue
        count = panels.wide + panels.narrow
        kernel = Gemm(
            isa=isa,
            rows=rows,
            vectors=vectors,
            activation=(call["activation"], call["activation_parameters"]),
            residual=bool(residual),
            columns=n if n < isa.lanes else 0,
        )
        for block in _blocks(count, weight.bytes // count, -(-m // rows), target):
            order = "rows outside" if block == count else f"{block} of {count} panels at a time"
            found.append(
                Implementation(
                    variant=f"gemm {rows}x{vectors * isa.lanes}, {order}",
                    kernel=kernel,
                    operands=operands,
                    constants=pack_panels(panels),
                    sizes={"m": m, "n": n, "k": k, "wide": panels.wide, "narrow": panels.narrow, "block": block},
                    chunks=min(-(-count // block) * -(-m // rows), CHUNKS),
                )
            )
    sliced = sliced_products(call, target, operands)
    return [*sliced, *found] if slicing_gain(m, n, k, target) > 1 else [*found, *sliced]


def _blocks(count: int, bytes: int, tiles: int, target: Target) -> list[int]:
    """How many of `count` panels of so many bytes all rows meet before the next ones, the best guess first.

    The panels of a block are read again for every tile of rows: they should stay in half of the second-level cache.
    Few tiles of rows would leave one thread much more to do, and each would read all weights: the number of blocks is
    even then.
    """
    fit = min(max(target.host.l2_bytes // 2 // max(bytes, 1), 1), count)
    parts = -(-count // fit)
    if tiles <= FEW_TILES and count > 1:
        parts += parts % 2
    even = -(-count // parts)
    return list(dict.fromkeys((even, count, 1)))


def is_pointwise(call: KernelCall) -> bool:
    """Whether a convolution multiplies each pixel by one matrix."""
    kernel = call.operands[1].static_shape[:2]
    return kernel == (1, 1) and call["strides"] == (1, 1) and not any(call["padding"]) and call["groups"] == 1


def tiles(m: int, n: int, target: Target) -> list[tuple[int, int]]:
    """Rows and vectors of register tiles, the best guess first."""
    isa = target.isa
    vectors = min(-(-n // isa.lanes), 3)
    guesses = [(min(MOST_ROWS, isa.accumulators // v, m), v) for v in (vectors, 3, 2, 1) if v <= vectors]
    if isa.architecture == "aarch64":
        # with a vector of each row in a register besides; those first that compute the fewest rows twice
        shapes = [*guesses, (min(6, m), vectors), *([(min(5, m), 4)] if n >= 4 * isa.lanes else [])]
        guesses = sorted(shapes, key=lambda tile: (-(-m // tile[0]) * tile[0], shapes.index(tile)))
    elif n >= 4 * isa.lanes:
        guesses.append((min(6, isa.accumulators // 4, m), 4))
    elif vectors == 1:
        guesses.insert(0, (min(SINGLE_ROWS, isa.accumulators, m), 1))
    return list(dict.fromkeys(guesses))


def pack_panels(panels: Panels) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    """What packs the weights and the bias of a call, its operands 1 and 2."""

    def pack(operands: Mapping[int, Array]) -> dict[str, Array]:
        weight, bias = (np.asarray(operands[i]) for i in (1, 2))
        missing = max(panels.lanes - panels.columns, 0)
        return {"weight": panels.pack(weight.reshape(weight.shape[-2:])), "bias": np.pad(bias, (0, missing))}

    return pack
