"""Inverted residuals in one pass, on sizes that fill no vector and no tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nascompiler.backends.cpu import dialect  # noqa: F401  # registers the ops
from nascompiler.backends.cpu.implementations.inverted_residual import inverted_residual
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.inverted_residual import InvertedResidual
from nascompiler.backends.kernels.numba_object import emit_object
from nascompiler.backends.kernels.ring import Window
from nascompiler.backends.target import Isa, Target, describe, parse_target
from nascompiler.ir import Array, evaluate
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


@dataclass(frozen=True)
class Family:
    """Calls that share code: what is fixed of them."""

    kernel: int
    stride: int
    activation: str
    residual: bool = False

    def graph(self, x: tuple[int, ...], expanded: int, features: int, padding: tuple[int, ...]) -> Graph:
        generator = np.random.default_rng(x[1])
        build = Builder("block")

        def weight(*shape: int) -> Any:
            scale = np.sqrt(2 / max(np.prod(shape[:-1]), 1)) if len(shape) > 1 else 1
            return build.constant((generator.standard_normal(shape) * scale).astype(np.float32))

        rest = [weight(1, 1, x[3], expanded), weight(expanded)]
        rest += [weight(self.kernel, self.kernel, 1, expanded), weight(expanded)]
        rest += [weight(1, 1, expanded, features), weight(features)]
        attributes: dict[str, Any] = {"strides": (self.stride, self.stride), "padding": padding}
        attributes |= {"expand_activation": self.activation, "depthwise_activation": self.activation}
        attributes |= {"activation": "clip", "activation_parameters": (-1.5, 2.0)}
        height, width = (
            (size + padding[i] + padding[i + 2] - self.kernel) // self.stride + 1 for i, size in enumerate(x[1:3])
        )
        given = [build.input("x", x), *rest]
        given += [build.input("residual", (x[0], height, width, features))] * self.residual
        return build.outputs(y=build.op("cpu.inverted_residual", *given, **attributes))


FAMILIES = [
    Family(3, 1, "relu", residual=True),
    Family(5, 2, "hard_swish"),
    Family(7, 1, "sigmoid"),
]
SIZES = [
    ((1, 15, 14, 5), 49, 37),
    ((2, 8, 17, 33), 70, 40),
    ((1, 24, 20, 16), 64, 24),
    ((1, 13, 11, 7), 33, 8),
]


def check(graph: Graph, target: Target, *, is_first_enough: bool = False) -> None:
    (node,) = graph.nodes
    call = KernelCall.of(node)
    found = inverted_residual(call, target)
    assert found
    generator = np.random.default_rng(5)
    inputs: dict[str, Array] = {
        v.name: generator.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs
    }
    (expected,) = evaluate(graph, inputs).values()
    operands = {i: inputs[v.name] if v.constant is None else v.constant.array for i, v in enumerate(node.operands)}
    for made in found[:1] if is_first_enough else found:
        got = run_implementation(made, operands, {"result": call.result})["result"]
        assert_close(got, expected, f"{call.text} by {made.variant}", 2e-5)


@pytest.mark.parametrize("family", FAMILIES, ids=str)
@pytest.mark.parametrize("isa", ISAS)
def test_blocks(isa, family):
    target = target_of(isa)
    is_best = isa == parse_target("cpu").isa.name
    edge = family.kernel // 2
    paddings = [(edge,) * 4, (0, edge, edge, family.kernel - 1), (family.kernel - 1, 0, 0, edge), (edge,) * 4]
    for (x, expanded, features), padding in list(zip(SIZES, paddings, strict=True))[: None if is_best else 1]:
        check(family.graph(x, expanded, features, padding), target, is_first_enough=not is_best)


def test_few_features_and_small_planes():
    target = parse_target("cpu")
    check(FAMILIES[0].graph((1, 3, 2, 3), 24, 5, (1, 1, 1, 1)), target, is_first_enough=True)
    check(FAMILIES[1].graph((1, 1, 1, 3), 24, 1, (2, 2, 2, 2)), target, is_first_enough=True)


def test_threads_do_not_change_the_result():
    graph = FAMILIES[0].graph((1, 33, 9, 8), 48, 24, (1, 1, 1, 1))
    (node,) = graph.nodes
    (one, *_), (many, *_) = (
        inverted_residual(KernelCall.of(node), parse_target(f"cpu{{threads={threads}}}")) for threads in (1, 4)
    )
    assert many.chunks == 4 > one.chunks
    generator = np.random.default_rng(0)
    operands = {
        i: generator.standard_normal(v.type.static_shape).astype(np.float32) if v.constant is None else v.constant.array
        for i, v in enumerate(node.operands)
    }
    results = [run_implementation(made, operands, {"result": node.result.type})["result"] for made in (one, many)]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("x", "kernel", "stride", "expanded"),
    [((1, 9, 9, 4), 3, 1, 15), ((1, 9, 9, 4), 2, 1, 32), ((1, 9, 9, 4), 3, 4, 32)],
    ids=["less than a vector", "even kernel", "rows left out"],
)
def test_what_it_does_not_compute(x, kernel, stride, expanded):
    target = parse_target("cpu{isa=avx512}") if parse_target("cpu").isa.lanes == 16 else parse_target("cpu")
    if target.isa.lanes < 16 and expanded < 16:
        pytest.skip("vectors are shorter here")
    graph = Family(kernel, stride, "relu").graph(x, expanded, 16, (1, 1, 1, 1))
    (node,) = graph.nodes
    assert not inverted_residual(KernelCall.of(node), target)


def test_it_compiles_for_aarch64():
    kernel = InvertedResidual(NEON, Window(3, 2, 1, 7), rows=7, expand_vectors=3, project_vectors=2)
    assert emit_object(kernel).startswith(b"\x7fELF")
