"""Schedules that were searched for: proposed, kept as text, applied to a call's definition, and some refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nascompiler.backends.cpu.choice import METASCHEDULE, Choice
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import StoreError
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph, evaluate
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Node
from nascompiler.passes import run_pipeline

TARGET = parse_target("cpu")


def convolution(bias: float = 1.0) -> Node:
    """A pointwise convolution with residual and activation; its bias has one element, as has its result's channel."""
    generator = np.random.default_rng(0)
    builder = Builder("net")
    x, residual = builder.input("x", (1, 4, 4, 8)), builder.input("r", (1, 4, 4, 1))
    weight = builder.constant(generator.standard_normal((1, 1, 8, 1)).astype(np.float32))
    y = builder.nn.conv2d(x, weight, builder.constant(np.full(1, bias, np.float32)))
    graph: Graph = run_pipeline(builder.outputs(y=builder.nn.relu(builder.nn.add(y, residual))), "assign-kernels")
    (node,) = graph.nodes
    return node


def search(node: Node) -> list[str]:
    from nascompiler.backends.tvm_adapter.definition import Definition
    from nascompiler.backends.tvm_adapter.schedule_search import ScheduleSearch

    definition = Definition.of(node)
    assert definition is not None
    searching = ScheduleSearch(definition.function(), TARGET)
    first = searching.propose()
    searching.learn([None, *(1.0 + i for i in range(len(first) - 1))])
    return [*first, *searching.propose()]


def test_schedules_are_proposed_alike_and_compute_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from nascompiler.backends.tvm_adapter import schedule_search
    from nascompiler.backends.tvm_adapter import variants as building
    from nascompiler.backends.tvm_adapter.definition import graph_of

    for name, size in (("POPULATION", 8), ("BATCH", 4), ("GENERATIONS", 1)):
        monkeypatch.setattr(schedule_search, name, size)
    node = convolution()
    found = search(node)
    assert found == search(node)
    assert len(set(found)) == len(found) > 1
    graph = graph_of(node)
    generator = np.random.default_rng(1)
    arrays = {v.name: generator.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs}
    expected = evaluate(graph, arrays)["y0"]
    choices = [Choice(METASCHEDULE, None, "", text) for text in found[:3]]
    compiled = [building.compile_variant(graph, choice, TARGET, tmp_path) for choice in choices]
    functions = building.load_functions(compiled, TARGET, tmp_path / "call.so")
    memory = building.Memory(list(arrays.values()))
    for made in compiled:
        variant = building.Variant(made, functions, memory, TARGET)
        variant.outputs[0][...] = np.nan
        assert variant() >= 1.0
        np.testing.assert_allclose(variant.outputs[0], expected, rtol=1e-5, atol=1e-5)
        assert made.lowered.calls[0].variant == METASCHEDULE


def test_constants_in_the_code_are_part_of_the_symbol():
    """Calls that differ in numbers only are equal calls, but not equal code where a number stands in it."""
    from nascompiler.backends.tvm_adapter.definition import Definition

    nodes = [convolution(1.0), convolution(2.0)]
    assert KernelCall.of(nodes[0]).text == KernelCall.of(nodes[1]).text
    first, second = (Definition.of(node) for node in nodes)
    assert first is not None
    assert second is not None
    assert first.text != second.text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[[], []", "Expecting"),
        ("7", "not subscriptable"),
        (json.dumps([[["UnsafeSetDType", [], [], []]], []]), "the instruction 'UnsafeSetDType' is not allowed"),
        (
            json.dumps(
                [[["GetSBlock", [], ["root", "main"], ["b"]], ["Annotate", ["b", '"x"'], ["pragma_import_c"], []]], []]
            ),
            "the annotation 'pragma_import_c' is not allowed",
        ),
        (json.dumps([[["GetSBlock", [], ["no such block", "main"], ["b"]]], []]), "cannot be applied"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, reason: str):
    from nascompiler.backends.tvm_adapter.definition import Definition
    from nascompiler.backends.tvm_adapter.schedules import scheduled

    definition = Definition.of(convolution())
    assert definition is not None
    with pytest.raises(StoreError, match=reason):
        scheduled(definition.function(), text)
