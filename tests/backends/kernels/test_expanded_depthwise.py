"""Expansion and depthwise convolution in one pass, with means, on sizes that fill no vector and no tile."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.cpu import dialect  # noqa: F401  # registers the op
from nascompiler.backends.cpu.implementations.inverted_residual import expanded_depthwise
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.expanded_depthwise import ExpandedDepthwise
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.kernels.ring import Window
from nascompiler.backends.target import Isa, Target, describe, parse_target
from nascompiler.ir import evaluate
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Graph
from tests.backends.kernels.implementations import run_implementation
from tests.backends.replay import assert_close

ISAS = [isa["name"] for isa in describe("cpu")["isa"]]
NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))


def target_of(isa: str) -> Target:
    try:
        return parse_target(f"cpu{{isa={isa}}}")
    except DeviceError as error:
        pytest.skip(str(error))


def block(x: tuple[int, ...], expanded: int, kernel: int, stride: int, padding: tuple[int, ...]) -> Graph:
    generator = np.random.default_rng(x[1])
    build = Builder("block")

    def weight(*shape: int):
        return build.constant((generator.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32))

    weights = [weight(1, 1, x[3], expanded), weight(expanded), weight(kernel, kernel, 1, expanded), weight(expanded)]
    attributes = {"strides": (stride, stride), "padding": padding, "activation": "hard_swish"}
    given = [build.input("x", x), *weights]
    y, means = build.op("cpu.expanded_depthwise_conv2d_pooled", *given, expand_activation="relu", **attributes)
    return build.outputs(y=y, means=means)


CALLS = [
    ((1, 14, 14, 5), 49, 3, 1, (1, 1, 1, 1)),
    ((2, 15, 17, 33), 70, 3, 1, (0, 1, 1, 2)),
    ((1, 20, 14, 16), 40, 5, 2, (2, 2, 2, 2)),
    ((2, 9, 21, 7), 130, 5, 2, (1, 2, 2, 1)),
    ((1, 1, 1, 3), 16, 3, 1, (1, 1, 1, 1)),
]


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("isa", ISAS)
def test_blocks(isa, call):
    target = target_of(isa)
    is_best = isa == parse_target("cpu").isa.name
    if not is_best and call not in CALLS[1:4:2]:
        pytest.skip("the best instruction set runs all sizes")
    graph = block(*call)
    (node,) = graph.nodes
    call_ = KernelCall.of(node)
    found = expanded_depthwise(call_, target)
    assert found
    x = np.random.default_rng(5).standard_normal(call[0]).astype(np.float32)
    y, means = evaluate(graph, {"x": x}).values()
    operands = {i: x if v.constant is None else v.constant.array for i, v in enumerate(node.operands)}
    types = dict(zip(("result", "pooled"), call_.results, strict=True))
    for made in found if is_best else found[:1]:
        got = run_implementation(made, operands, types)
        assert_close(got["result"], y, f"{call_.text} by {made.variant}", 2e-5)
        assert_close(got["pooled"], means, f"means of {call_.text} by {made.variant}", 2e-5)


def test_it_compiles_for_aarch64():
    assert emit_object(ExpandedDepthwise(NEON, Window(3, 1, 2, 7), rows=7, vectors=3)).startswith(b"\x7fELF")
