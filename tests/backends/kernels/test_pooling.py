"""Pooling over windows that hang over every edge, on channels that fill no vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu.implementation import candidates
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.kernels.pooling import GlobalAverage, Pool
from nascompiler.backends.target import parse_target
from nascompiler.ir import DType, Graph
from nascompiler.ir.builder import Builder
from tests.backends.cpu.test_candidates import ISAS, cases, check
from tests.backends.kernels.test_gemv import NEON

WINDOWS: list[dict[str, Any]] = [
    {"kernel": (3, 3), "strides": (1, 1), "padding": (1, 1, 1, 1)},
    {"kernel": (3, 3), "strides": (2, 2), "padding": (0, 0, 1, 1)},
    {"kernel": (2, 4), "strides": (3, 1), "padding": (1, 3, 0, 2)},
]


def pool(op: str, x: tuple[int, ...], dtype: DType = DType.F32, **how: Any) -> Graph:
    builder = Builder(f"{op} {x} {how}")
    return builder.outputs(y=builder.op(op, builder.input("x", x, dtype), **how))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_windows(isa, window):
    target = parse_target(f"cpu{{isa={isa}}}")
    for op in ("cpu.max_pool2d", "cpu.average_pool2d"):
        for shape in ((2, 7, 9, 44), (1, 5, 2, 11)):
            for case in cases(pool(op, shape, **window)):
                check(case, candidates(case.call, target)[0])


@pytest.mark.parametrize("isa", ISAS)
def test_maximum_of_bytes(isa):
    for dtype in (DType.I8, DType.U8):
        for channels in (70, 3):
            (case,) = cases(pool("cpu.max_pool2d", (2, 7, 9, channels), dtype, **WINDOWS[1]))
            check(case, candidates(case.call, parse_target(f"cpu{{isa={isa}}}"))[0])


def test_padding_that_counts():
    for case in cases(pool("cpu.average_pool2d", (1, 4, 5, 20), **WINDOWS[0], count_include_pad=True)):
        check(case, candidates(case.call, parse_target("cpu"))[0])


def test_wide_windows_are_left_to_tvm():
    (case,) = cases(pool("cpu.average_pool2d", (1, 3, 12, 16), kernel=(1, 12)))
    assert not candidates(case.call, parse_target("cpu"))


def test_the_maximum_of_nan_is_nan():
    (case,) = cases(pool("cpu.max_pool2d", (1, 6, 6, 16), **WINDOWS[0]))
    x = case.operands[0].copy()
    x[0, 2, 3, 4] = np.nan
    (expected,) = case.results
    expected[0, 1:4, 2:5, 4] = np.nan
    case.operands = {0: x}
    for made in candidates(case.call, parse_target("cpu")):
        check(case, made)


@pytest.mark.parametrize("isa", ISAS)
def test_whole_images(isa):
    for shape in ((2, 3, 5, 100), (1, 7, 7, 3), (3, 1, 1, 17)):
        for case in cases(pool("cpu.global_average_pool", shape)):
            check(case, candidates(case.call, parse_target(f"cpu{{isa={isa}}}"))[0])


def test_they_compile_for_aarch64():
    for kernel in (GlobalAverage(NEON, lanes=4), Pool(NEON, (3, 3), (2, 2), True, False, lanes=4, vectors=2)):
        assert emit_object(kernel).startswith(b"\x7fELF")
