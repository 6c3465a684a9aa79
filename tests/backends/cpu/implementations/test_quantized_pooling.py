"""Average pooling of bytes, bit for bit the reference on every instruction set of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nascompiler.backends.cpu.implementations.quantized_pooling import average_pool
from nascompiler.backends.target import parse_target
from nascompiler.ir import Builder, DType, Graph
from tests.backends.cpu.test_candidates import ISAS, cases, check


def pool(op: str, channels: int, dtype: DType = DType.I8, **attributes: Any) -> Graph:
    build = Builder("pool")
    x = build.input("x", (2, 7, 6, channels), dtype)
    zero_points = {"x_zero_point": 5 if dtype is DType.I8 else 130, "zero_point": 3}
    return build.outputs(y=build.op(op, x, x_scale=0.1, scale=0.07, dtype=dtype, **zero_points, **attributes))


def graphs() -> Iterator[Graph]:
    window = {"kernel": (3, 2), "strides": (2, 1), "padding": (1, 1, 1, 1)}
    for channels in (3, 24, 130):
        for dtype in (DType.I8, DType.U8):
            yield pool("qnn.global_average_pool", channels, dtype)
            for include in (False, True):
                yield pool("qnn.average_pool2d", channels, dtype, **window, count_include_pad=include)


@pytest.mark.parametrize("isa", ISAS)
def test_bit_for_bit(isa: str) -> None:
    target = parse_target(f"cpu{{isa={isa}}}")
    for graph in graphs():
        for case in cases(graph):
            (made,) = average_pool(case.call, target)
            check(case, made)


def test_dilated_windows_are_left_to_tvm() -> None:
    (case,) = cases(pool("qnn.average_pool2d", 16, kernel=(2, 2), dilation=(2, 2)))
    assert average_pool(case.call, parse_target("cpu")) == ()
