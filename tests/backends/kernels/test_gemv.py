"""Products of few rows, on sizes that fill no vector, no stream and no step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.fully_connected import SHORT_LANES, gemv
from nascompiler.backends.kernels.columns import pack_columns
from nascompiler.backends.kernels.gemv import MOST_ROWS, Gemv
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import Isa, Target, parse_target
from nascompiler.ir import DType, Graph
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


def with_cache(isa: str, size: int) -> Target:
    """A target whose second-level cache has so many bytes."""
    target = parse_target(f"cpu{{isa={isa}}}")
    return replace(target, host=replace(target.host, l2_bytes=size))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rows, k, n", [(1, 129, 100), (1, 30, 3), (3, 17, 33), (MOST_ROWS, 61, 16)])
def test_weights_that_exceed_the_cache_take_three_bytes_where_vectors_are_long(isa, rows, k, n):
    (case,) = cases(linear(rows, k, n))
    target = with_cache(isa, 1)
    found = gemv(case.call, target)
    assert [made.variant for made in found] == [
        *["gemv, three bytes a weight"] * (target.isa.lanes >= SHORT_LANES),
        "gemv",
    ]
    for made in found:
        check(case, made)
    sizes = [made.constants(case.constants)["weight"].nbytes for made in found]
    assert sizes[-1] * 3 == sizes[0] * 4 or len(found) == 1


def test_weights_of_three_bytes_are_as_good_as_floats():
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((500, 40)).astype(np.float32) * np.logspace(-30, 30, 40, dtype=np.float32)
    weight[:, 7] = 0
    packed = pack_columns("weight", weight, np.zeros(40, np.float32), 8, short=True)
    parts = packed["weight"].view(np.uint8).reshape(5, 500, 24)
    upper = parts[..., :16].copy().view(np.int16).astype(np.int64)
    numbers = ((upper << 8) | parts[..., 16:]).transpose(1, 0, 2).reshape(500, 40)
    found = numbers * packed["weight_scale"].astype(np.float64)
    assert (np.abs(found - weight).max(axis=0) <= 2.0**-23 * np.abs(weight).max(axis=0)).all()


def test_weights_that_are_not_finite_stay_floats():
    builder = Builder("infinite")
    weight = np.ones((64, 40), np.float32)
    weight[3, 5] = np.inf
    operands = [builder.input("x", (1, 64)), builder.constant(weight), builder.constant(np.zeros(40, np.float32))]
    (case,) = cases(builder.outputs(y=builder.op("cpu.linear", *operands)))
    for made in gemv(case.call, with_cache("auto", 1)):
        assert made.fitting(case.constants).kernel.pointers["weight"] is DType.F32


def test_more_rows_are_left_to_the_matrix_product():
    (case,) = cases(linear(MOST_ROWS + 1, 20, 20))
    assert not gemv(case.call, parse_target("cpu"))


def test_it_compiles_for_aarch64():
    assert emit_object(Gemv(NEON, rows=2, activation=("hard_swish", ()))).startswith(b"\x7fELF")
