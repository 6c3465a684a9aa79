"""Every way to compute a kernel call, on every instruction set of this machine, against the reference.

Arrays end at memory that cannot be read, chunks run in reverse order, and results start out as garbage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from nascompiler import api
from nascompiler.backends.compile import default_pipeline
from nascompiler.backends.cpu.bound import Bound
from nascompiler.backends.cpu.implementation import Implementation, candidates
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.host import detect_host
from nascompiler.backends.kernels.native import load
from nascompiler.backends.target import describe, parse_target
from nascompiler.ir import Array, Graph, evaluate
from nascompiler.ir.graph import Node, Value
from nascompiler.ir.random_values import random_array
from nascompiler.passes import run_pipeline
from nascompiler.passes.quantization.quantizer import Settings, quantize_graph
from tests.backends.cpu.guard import Guards
from tests.backends.replay import assert_close
from tests.backends.test_kernels import kernel_graphs

ISAS = [
    isa["name"]
    for isa in describe("cpu")["isa"]
    if isa["architecture"] == detect_host().architecture and set(isa["requires"]) <= detect_host().features
]

NETWORKS = {
    "mobilenet-v1": {"width": 0.25, "resolution": 64},
    "mobilenet-v2": {"width": 0.35, "resolution": 64},
    "mobilenet-v3-small": {"width": 0.35, "resolution": 72},
    "mnasnet-a1": {"width": 0.35, "resolution": 64},
}


@dataclass
class Case:
    """A call with operands and the results the reference makes of them."""

    label: str
    call: KernelCall
    operands: Mapping[int, Array]
    constants: Mapping[int, Array]
    results: list[Array]


def cases(graph: Graph) -> Iterator[Case]:
    """The kernel calls of a graph whose kernels are assigned, on random inputs."""
    generator = np.random.default_rng(3)
    inputs = {v.name: random_array(v.type, generator) for v in graph.inputs}
    values: dict[Value, Array] = {v: inputs[v.name] for v in graph.inputs}
    evaluate(graph, inputs, observe=values.__setitem__)

    def array(value: Value) -> Array:
        return values[value] if value.constant is None else value.constant.array

    seen: set[str] = set()
    for node in graph.nodes:
        if node.op.dialect == "nn" or (call := KernelCall.of(node)).text in seen:
            continue
        seen.add(call.text)
        yield Case(
            f"{graph.name} {_label(node)}",
            call,
            {i: array(v) for i, v in enumerate(node.operands)},
            {i: v.constant.array for i, v in enumerate(node.operands) if v.constant is not None},
            [values[v] for v in node.results],
        )


def _label(node: Node) -> str:
    return f"{node.op.name} {node.results[0].name}: {', '.join(str(v.type) for v in node.operands)}"


def check(case: Case, made: Implementation) -> None:
    guards = Guards()
    made = made.fitting(case.constants)
    function = load([made.kernel])[made.kernel.symbol]
    bound = Bound(made, case.call, function, case.operands, case.constants, allocate=guards.allocate)
    for result in bound.results:
        result.view(np.uint8)[...] = 0xFF
    before = {name: bound.arrays[name].copy() for name in (*made.operands, *case.constants) if name in bound.arrays}
    bound(range(made.chunks - 1, -1, -1))
    guards.check()
    for name, array in before.items():
        assert np.array_equal(bound.arrays[name], array, equal_nan=True), f"{made.variant} changed {name}"
    for result, expected in zip(bound.results, case.results, strict=True):
        assert_close(result.reshape(expected.shape), expected, f"{case.label} by {made.variant}", 2e-5)


@pytest.mark.parametrize("isa", ISAS)
def test_random_calls(isa: str) -> None:
    target = parse_target(f"cpu{{isa={isa}}}")
    for graph in kernel_graphs(20 if isa == ISAS[0] else 4):
        for case in cases(graph):
            found = candidates(case.call, target)
            for made in found if isa == ISAS[0] else found[:1]:
                check(case, made)


@pytest.mark.slow
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("quantized", [False, True])
def test_all_variants_for_networks(name: str, isa: str, quantized: bool) -> None:
    target = parse_target(f"cpu{{isa={isa}}}")
    graph = api.load(name, **NETWORKS[name])
    if quantized:
        graph = run_pipeline(api.expanded(graph), "")
        batch = {v.name: random_array(v.type, np.random.default_rng(1)) for v in graph.inputs}
        graph = quantize_graph(graph, [batch], Settings(equalize=False, correct_bias=False)).graph
    graph = run_pipeline(graph, default_pipeline(target))
    for case in cases(graph):
        for made in candidates(case.call, target):
            check(case, made)
