"""Separable convolutions in one pass, on sizes that fill no vector and no tile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu import dialect  # noqa: F401  # registers the ops
from nascompiler.backends.cpu.implementations.separable import separable
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.depthwise import Row
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.kernels.separable import Separable
from nascompiler.backends.target import Isa, Target, describe, parse_target
from nascompiler.ir import evaluate
from nascompiler.ir.builder import Builder
from tests.backends.kernels.implementations import run_implementation
from tests.backends.replay import assert_close

ISAS = [isa["name"] for isa in describe("cpu")["isa"]]
NEON = Isa("neon", "aarch64", lanes=4, accumulators=24, processor="generic", features=frozenset({"asimd"}))

Call = tuple[tuple[int, ...], int, tuple[int, int], tuple[int, int], tuple[int, ...], dict[str, Any]]

CALLS: list[Call] = [
    ((1, 14, 14, 17), 49, (3, 3), (1, 1), (1, 1, 1, 1), {"residual": True}),
    ((2, 15, 17, 33), 40, (5, 5), (2, 2), (1, 2, 2, 2), {"activation": "hard_swish"}),
    ((1, 9, 20, 16), 5, (3, 3), (1, 1), (2, 0, 0, 2), {"op": "cpu.rectified_separable_conv2d"}),
    ((1, 12, 11, 20), 30, (2, 3), (2, 1), (0, 1, 1, 1), {}),
    ((1, 1, 1, 16), 16, (3, 3), (1, 1), (1, 1, 1, 1), {}),
]


def target_of(isa: str) -> Target:
    try:
        return parse_target(f"cpu{{isa={isa}}}")
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("isa", ISAS)
def test_separable_convolutions(isa: str, call: Call) -> None:
    target = target_of(isa)
    is_best = isa == parse_target("cpu").isa.name
    if not is_best and call is not CALLS[1]:
        pytest.skip("the best instruction set runs all sizes")
    x, features, kernel, strides, padding, how = call
    how = {"op": "cpu.separable_conv2d", **how}
    generator = np.random.default_rng(3)
    build = Builder("separable")

    def weight(*shape: int) -> Any:
        return build.constant((generator.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32))

    given = [
        build.input("x", x),
        weight(*kernel, 1, x[3]),
        weight(x[3]),
        weight(1, 1, x[3], features),
        weight(features),
    ]
    height, width = ((x[i + 1] + padding[i] + padding[i + 2] - kernel[i]) // strides[i] + 1 for i in range(2))
    if how.pop("residual", False):
        given.append(build.input("residual", (x[0], height, width, features)))
    op = how.pop("op")
    y = build.op(op, *given, strides=strides, padding=padding, depthwise_activation="relu", **how)
    graph = build.outputs(y=y)
    (node,) = graph.nodes
    inputs = {v.name: generator.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs}
    (expected,) = evaluate(graph, inputs).values()
    operands = {i: inputs[v.name] if v.constant is None else v.constant.array for i, v in enumerate(node.operands)}
    found = separable(KernelCall.of(node), target)
    assert found
    for made in found if is_best else found[:1]:
        got = run_implementation(made, operands, {"result": node.result.type})["result"]
        assert_close(got, expected, f"{call} by {made.variant}", 2e-5)


def test_it_compiles_for_aarch64() -> None:
    row = Row((3, 3), (1, 1), (1, 1), (1, 1), 7, single=False, lanes=4)
    assert emit_object(Separable(NEON, row, vectors=3)).startswith(b"\x7fELF")
