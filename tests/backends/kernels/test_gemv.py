"""Products of few rows, on sizes that fill no vector, no stream and no step."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.fully_connected import gemv
from nascompiler.backends.kernels.gemv import MOST_ROWS, Gemv
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import Isa, parse_target
from nascompiler.ir import Graph
from nascompiler.ir.builder import Builder
from tests.backends.cpu.test_candidates import ISAS, cases, check

SHAPES = [(17, 33), (129, 100), (1, 16), (30, 1), (2, 5), (200, 131)]
NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))


def linear(rows: int, k: int, n: int) -> Graph:
    generator = np.random.default_rng(rows + k + n)
    builder = Builder(f"{rows}x{k}x{n}")
    weights = [builder.constant(generator.standard_normal(shape).astype(np.float32)) for shape in ((k, n), (n,))]
    operands = [builder.input("x", (rows, k)), *weights, builder.input("residual", (rows, n))]
    return builder.outputs(y=builder.op("cpu.linear", *operands, activation="relu"))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rows", [1, 3, MOST_ROWS])
def test_products_of_few_rows(isa, rows):
    for k, n in SHAPES if rows == 1 else SHAPES[:3]:
        for case in cases(linear(rows, k, n)):
            (made,) = gemv(case.call, parse_target(f"cpu{{isa={isa}}}"))
            check(case, made)


def test_more_rows_are_left_to_the_matrix_product():
    (case,) = cases(linear(MOST_ROWS + 1, 20, 20))
    assert not gemv(case.call, parse_target("cpu"))


def test_it_compiles_for_aarch64():
    assert emit_object(Gemv(NEON, rows=2, activation=("hard_swish", ()))).startswith(b"\x7fELF")
