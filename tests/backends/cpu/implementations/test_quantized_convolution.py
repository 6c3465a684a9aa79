"""Convolutions of bytes over all channels, bit for bit the reference on every instruction set of this machine."""

from __future__ import annotations

import pytest

from nascompiler.backends.cpu.implementations.quantized_convolution import convolution_int8
from nascompiler.backends.target import parse_target
from nascompiler.ir import DType, Graph
from tests.backends.cpu.implementations.test_quantized_depthwise import convolution
from tests.backends.cpu.test_candidates import ISAS, cases, check

GRAPHS = {
    "stem": convolution((1, 24, 30, 3), (3, 3), features=16, strides=(2, 2), padding=(0, 0, 1, 1)),
    "wider stem of unsigned bytes": convolution(
        (2, 13, 15, 3), (5, 5), features=40, x=DType.U8, strides=(2, 2), padding=(2, 2, 2, 2), activation="hard_swish"
    ),
    "strided pointwise": convolution((2, 9, 11, 5), (1, 1), features=11, strides=(2, 2)),
    "dilated": convolution(
        (1, 9, 11, 6), (3, 2), features=70, padding=(1, 2, 1, 2), dilation=(1, 2), activation="relu6", result=DType.U8
    ),
    "float results": convolution((1, 5, 3, 7), (3, 3), features=50, padding=(1, 1, 1, 1), result=DType.F32),
}


@pytest.mark.parametrize("isa", ISAS)
def test_bit_for_bit(isa: str) -> None:
    target = parse_target(f"cpu{{isa={isa}}}")
    for name, graph in GRAPHS.items():
        for case in cases(graph):
            found = convolution_int8(case.call, target)
            assert found, name
            for made in found if isa == ISAS[0] else found[:1]:
                check(case, made)


@pytest.mark.parametrize(
    "graph",
    [
        convolution((1, 4, 4, 16), (3, 3)),
        convolution((1, 4, 4, 16), (1, 1), features=8),
        convolution((1, 4, 4, 16), (3, 3), features=8, weight_zero_point=1),
    ],
    ids=["depthwise", "a matrix product", "weights with a zero point"],
)
def test_what_it_refuses(graph: Graph) -> None:
    (case,) = cases(graph)
    assert convolution_int8(case.call, parse_target("cpu")) == ()
