"""Joins of sums along every axis, on memory that ends where arrays end, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.joined_sums import joined_sums
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.kernels.joined_sums import JoinedSums
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.target import Isa, parse_target
from nascompiler.ir import Builder, DType, Graph
from tests.backends.cpu.test_candidates import ISAS, cases, check

NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))


def join(
    *shapes: tuple[int, ...], terms: tuple[int, ...], axis: int = 3, dtype: DType = DType.F32, **how: Any
) -> Graph:
    """Parts of some shapes, each a sum of some terms."""
    builder = Builder("join")
    every = [shape for shape, count in zip(shapes, terms, strict=True) for _ in range(count)]
    xs = [builder.input(f"x{i}", shape, dtype) for i, shape in enumerate(every)]
    return builder.outputs(y=builder.op("cpu.joined_sums", *xs, axis=axis, terms=terms, **how))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "graph",
    [
        join((2, 3, 5, 44), (2, 3, 5, 17), terms=(1, 2), activation="relu"),
        join((1, 7, 9, 11), (1, 7, 9, 5), (1, 7, 9, 16), terms=(1, 1, 3)),
        join((1, 2, 3, 20), (1, 4, 3, 20), terms=(2, 1), axis=1, activation="hard_swish"),
        join((1, 64, 64, 8), terms=(2,), axis=-1),
        join((1, 7, 9, 44), (1, 7, 9, 70), terms=(1, 1), dtype=DType.I8),
        join((1, 7, 9, 5), (1, 7, 9, 11), terms=(1, 1), dtype=DType.U8),
    ],
    ids=["channels", "short rows", "rows", "one part", "bytes", "few unsigned bytes"],
)
def test_every_part(graph: Graph, isa: str) -> None:
    for case in cases(graph):
        (made,) = joined_sums(case.call, parse_target(f"cpu{{isa={isa}}}"))
        check(case, made)


def test_parts_that_are_no_vectors_are_left_to_tvm() -> None:
    (node,) = join((1, 7, 9, 3), (1, 7, 9, 3), terms=(1, 1)).nodes
    assert joined_sums(KernelCall.of(node), parse_target("cpu")) == ()


def test_compiles_for_aarch64() -> None:
    assert emit_object(JoinedSums(NEON, terms=(1, 2), lanes=4))[:4] == b"\x7fELF"


def test_nan_stays() -> None:
    (case,) = cases(join((1, 1, 1, 16), terms=(1,), activation="relu"))
    case.operands[0][..., 3] = np.nan
    case.results[0][...] = np.maximum(case.operands[0], 0)
    (made,) = joined_sums(case.call, parse_target("cpu"))
    check(case, made)
