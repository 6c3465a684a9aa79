"""Softmax on memory that ends where arrays end, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.softmax import softmax
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.kernels.softmax import Softmax
from nascompiler.backends.target import Isa, parse_target
from nascompiler.ir import Builder, Graph
from tests.backends.cpu.test_candidates import ISAS, cases, check

NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))


def graph_of(*shape: int) -> Graph:
    builder = Builder("scores")
    return builder.outputs(y=builder.op("cpu.softmax", builder.input("x", shape), axis=-1))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 5, 40), (1, 62), (7, 16), (2, 3, 331), (1, 1000)])
def test_the_reference(shape: tuple[int, ...], isa: str) -> None:
    for case in cases(graph_of(*shape)):
        (made,) = softmax(case.call, parse_target(f"cpu{{isa={isa}}}"))
        check(case, made)


def test_large_and_infinite_numbers() -> None:
    (case,) = cases(graph_of(4, 37))
    x = case.operands[0]
    x *= 1000
    x[1, 5:] = -np.inf
    x[2, 36] = np.nan
    x[3, :] = 88.0
    with np.errstate(invalid="ignore"):
        powers = np.exp(x - x.max(axis=-1, keepdims=True))
    case.results[0][...] = powers / powers.sum(axis=-1, keepdims=True)
    (made,) = softmax(case.call, parse_target("cpu"))
    check(case, made)
    assert np.isnan(case.results[0][2]).all()


def test_compiles_for_aarch64() -> None:
    assert emit_object(Softmax(NEON, lanes=4))[:4] == b"\x7fELF"
