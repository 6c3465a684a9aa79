"""Which columns make pixels go in pairs, and that the blocks that do agree with those that do not."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.inverted_residual import inverted_residual
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.pixel_pairs import halves_of, pack_pairs
from nascompiler.backends.target import parse_target
from nascompiler.ir.types import Array
from tests.backends.kernels.implementations import run_implementation
from tests.backends.kernels.test_inverted_residual import Family


@pytest.mark.parametrize(
    ("columns", "lanes", "halves"),
    [(24, 16, 3), (40, 16, 5), (8, 16, 1), (32, 16, 0), (20, 16, 0), (12, 8, 3), (16, 8, 0), (6, 4, 3), (3, 1, 0)],
)
def test_columns_that_end_with_half_a_vector(columns, lanes, halves):
    assert halves_of(columns, lanes) == halves


def test_each_column_is_there_for_both_pixels():
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert pack_pairs(weight).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@pytest.mark.parametrize("width", [2, 9, 14, 33])
def test_pairs_agree_with_single_pixels(width):
    target = parse_target("cpu")
    lanes = target.isa.lanes
    graph = Family(3, 1, "relu", residual=True).graph((1, 6, width, 8), 2 * lanes + 1, lanes + lanes // 2, (1,) * 4)
    (node,) = graph.nodes
    generator = np.random.default_rng(width)
    operands: dict[int, Array] = {
        i: generator.standard_normal(v.type.static_shape).astype(np.float32) if v.constant is None else v.constant.array
        for i, v in enumerate(node.operands)
    }
    results: dict[bool, list[Array]] = {True: [], False: []}
    for made in inverted_residual(KernelCall.of(node), target):
        got = run_implementation(made, operands, {"result": node.result.type})["result"]
        results[made.variant.endswith("in pairs")].append(got)
    for got in results[True]:
        np.testing.assert_allclose(got, results[False][0], rtol=0, atol=1e-5)
    assert results[True] or lanes < 16, "vectors of 16 have room for pairs"
