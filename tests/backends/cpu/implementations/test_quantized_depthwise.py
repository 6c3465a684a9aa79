"""Depthwise convolutions of bytes, bit for bit the reference on every instruction set of this machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu.implementations.quantized_depthwise import depthwise
from nascompiler.backends.target import parse_target
from nascompiler.ir import Builder, DType, Graph
from tests.backends.cpu.test_candidates import ISAS, cases, check


def convolution(
    shape: tuple[int, int, int, int],
    kernel: tuple[int, int],
    *,
    features: int | None = None,
    x: DType = DType.I8,
    result: DType = DType.I8,
    weight_scale: float = 0.01,
    zero_point: int = 3,
    **attributes: Any,
) -> Graph:
    """A quantised convolution: depthwise, or of all channels to some `features`."""
    generator = np.random.default_rng(shape)
    channels = shape[-1]
    per_group, groups, wide = (1, channels, channels) if features is None else (channels, 1, features)
    build = Builder("convolution")
    weight = generator.integers(-128, 128, (*kernel, per_group, wide)).astype(np.int8)
    scale = (generator.uniform(0.5, 2, wide) * weight_scale).astype(np.float32)
    y = build.op(
        "qnn.conv2d",
        build.input("x", shape, x),
        build.constant(weight),
        build.constant(scale),
        build.constant(generator.integers(-3000, 3000, wide).astype(np.int32)),
        x_scale=0.02,
        x_zero_point=-5 if x is DType.I8 else 123,
        scale=1.0 if result is DType.F32 else 0.11,
        zero_point=0 if result is DType.F32 else zero_point,
        dtype=result,
        groups=groups,
        **attributes,
    )
    return build.outputs(y=y)


GRAPHS = {
    "two blocks that overlap": convolution((1, 14, 13, 72), (3, 3), padding=(1, 1, 1, 1), activation="relu"),
    "a wide block that overlaps": convolution((1, 15, 15, 100), (5, 5), strides=(2, 2), padding=(1, 1, 2, 2)),
    "small plane": convolution((1, 3, 3, 64), (5, 5), padding=(2, 2, 2, 2), activation="hard_swish"),
    "narrow blocks": convolution((2, 9, 17, 44), (3, 3), strides=(2, 2), padding=(0, 0, 1, 1), result=DType.U8),
    "few channels": convolution((1, 10, 12, 11), (7, 7), padding=(3, 3, 3, 3), x=DType.U8, activation="relu6"),
    "one channel": convolution((1, 10, 12, 1), (7, 3), strides=(1, 2), padding=(3, 1, 3, 1)),
    "dilated": convolution((1, 11, 10, 80), (3, 3), padding=(2, 2, 2, 2), dilation=(2, 2), activation="hard_sigmoid"),
    "wide image": convolution((1, 6, 130, 64), (3, 3), padding=(1, 1, 1, 1)),
    "results beyond 32 bits": convolution((1, 4, 8, 64), (3, 3), weight_scale=1e6, padding=(1, 1, 1, 1)),
}


@pytest.mark.parametrize("isa", ISAS)
def test_bit_for_bit(isa: str) -> None:
    target = parse_target(f"cpu{{isa={isa}}}")
    for name, graph in GRAPHS.items():
        for case in cases(graph):
            found = depthwise(case.call, target)
            assert found, name
            for made in found:
                check(case, made)


@pytest.mark.parametrize(
    "graph",
    [
        convolution((1, 4, 4, 16), (3, 3), result=DType.I16),
        convolution((1, 4, 4, 16), (3, 3), result=DType.F32),
        convolution((1, 4, 4, 16), (3, 3), weight_zero_point=1),
        convolution((1, 4, 4, 16), (3, 3), features=16),
    ],
    ids=["wide results", "float results", "weights with a zero point", "not depthwise"],
)
def test_what_it_refuses(graph: Graph) -> None:
    (case,) = cases(graph)
    assert depthwise(case.call, parse_target("cpu")) == ()
