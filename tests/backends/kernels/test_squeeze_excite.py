"""Gates of images and of their means, on channels that fill no vector."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.fully_connected import SHORT_LANES
from nascompiler.backends.cpu.implementations.squeeze_excite import gated_convolution, squeeze_excite_gate
from nascompiler.backends.kernels.gemm import Gemm
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.kernels.squeeze_excite import SqueezeExciteGate
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from tests.backends.cpu.test_candidates import ISAS, cases, check
from tests.backends.kernels.test_gemv import NEON, with_cache

SHAPES = [((1, 7, 7, 96), 24), ((2, 5, 3, 33), 7), ((3, 1, 1, 100), 20), ((2, 3, 3, 3), 5), ((1, 2, 2, 16), 1)]


def gate(x: tuple[int, ...], squeezed: int) -> Graph:
    generator = np.random.default_rng(squeezed)
    builder = Builder(f"{x}, {squeezed}")
    shapes = ((x[3], squeezed), (squeezed,), (squeezed, x[3]), (x[3],))
    weights = [builder.constant(generator.standard_normal(shape).astype(np.float32)) for shape in shapes]
    return builder.outputs(y=builder.op("cpu.squeeze_excite_gate", builder.input("x", x), *weights, gate="sigmoid"))


def gated(x: tuple[int, ...], features: int) -> Graph:
    generator = np.random.default_rng(features)
    builder = Builder(f"{x}, {features}")
    shapes = ((1, 1, x[3], features), (features,))
    weights = [builder.constant(generator.standard_normal(shape).astype(np.float32)) for shape in shapes]
    operands = [builder.input("x", x), *weights, builder.input("gate", (x[0], 1, 1, x[3]))]
    return builder.outputs(y=builder.op("cpu.gated_conv2d", *operands))


@pytest.mark.parametrize("isa", ISAS)
def test_gates(isa):
    for shape, squeezed in SHAPES:
        (case,) = cases(gate(shape, squeezed))
        (made,) = squeeze_excite_gate(case.call, parse_target(f"cpu{{isa={isa}}}"))
        check(case, made)


@pytest.mark.parametrize("isa", ISAS)
def test_gates_with_weights_of_three_bytes(isa):
    for shape, squeezed in SHAPES:
        (case,) = cases(gate(shape, squeezed))
        found = squeeze_excite_gate(case.call, with_cache(isa, 1))
        assert len(found) == (2 if found[0].kernel.isa.lanes >= SHORT_LANES else 1)
        check(case, found[0])


@pytest.mark.parametrize("isa", ISAS)
def test_gated_convolutions_of_several_images(isa):
    for shape, features in (((3, 3, 3, 17), 40), ((1, 4, 5, 96), 5)):
        (case,) = cases(gated(shape, features))
        for made in gated_convolution(case.call, parse_target(f"cpu{{isa={isa}}}"))[:2]:
            check(case, made)


def test_they_compile_for_aarch64():
    none = ("none", ())
    for kernel in (SqueezeExciteGate(NEON, none, ("sigmoid", ())), Gemm(NEON, rows=6, vectors=2, gate=True)):
        assert emit_object(kernel).startswith(b"\x7fELF")
