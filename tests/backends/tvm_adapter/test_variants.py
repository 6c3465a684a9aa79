"""Variants of a call run by themselves: what they compute, on which memory, on which copy of the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nascompiler.backends.cpu.choice import TEMPLATE, TVM, Choice, variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph, evaluate
from nascompiler.ir.builder import Builder
from nascompiler.passes import run_pipeline

TARGET = parse_target("cpu")


def network() -> Graph:
    """A pointwise convolution with a residual."""
    generator = np.random.default_rng(0)
    builder = Builder("net")
    x, residual = builder.input("x", (1, 4, 4, 8)), builder.input("r", (1, 4, 4, 16))
    weight = builder.constant(generator.standard_normal((1, 1, 8, 16)).astype(np.float32))
    y = builder.nn.relu(builder.nn.add(builder.nn.conv2d(x, weight), residual))
    return run_pipeline(builder.outputs(y=y), "assign-kernels")


def test_every_variant_computes_the_call_on_the_same_memory(tmp_path: Path):
    from nascompiler.backends.tvm_adapter import variants as building
    from nascompiler.backends.tvm_adapter.definition import graph_of

    (node,) = network().nodes
    graph = graph_of(node)
    generator = np.random.default_rng(1)
    arrays = {v.name: generator.standard_normal(v.type.static_shape).astype(np.float32) for v in graph.inputs}
    expected = evaluate(graph, arrays)["y0"]
    available = variants(KernelCall.of(node), TARGET)
    names = [next(iter(available)), TEMPLATE, TVM]
    compiled = [building.compile_variant(graph, Choice(n, available[n], ""), TARGET) for n in names]
    functions = building.load_functions(compiled, TARGET, tmp_path / "call.so")
    memory = building.Memory(list(arrays.values()))
    made = [building.Variant(c, functions, memory, TARGET) for c in compiled]
    for variant in made:
        for _ in range(3):  # with another copy of the weights each time
            variant.outputs[0][...] = np.nan
            assert variant() >= 1.0
            np.testing.assert_allclose(variant.outputs[0], expected, rtol=1e-5, atol=1e-5)
    assert made[0].outputs[0] is made[1].outputs[0]
    kernel, template, tvm = (variant.program_ns for variant in made)
    assert kernel == building.PROGRAM_CALL_NS  # the others stand outside of runs, as does what they read and write
    moved = 4 * (4 * 4 * 8 + 2 * 4 * 4 * 16)
    assert template == building.OUTSIDE_NS + building.OUTSIDE_BYTE_NS * moved
    assert tvm >= template
    copies = [len(variant._sets) for variant in made]
    assert all(2 <= count <= building.MOST_COPIES for count in copies)


def test_the_graph_of_a_node_has_its_constants_and_nothing_else():
    from nascompiler.backends.tvm_adapter.definition import graph_of

    (node,) = network().nodes
    graph = graph_of(node)
    assert [value.name for value in graph.inputs] == ["x0", "x3"]
    assert KernelCall.of(next(iter(graph.nodes))).text == KernelCall.of(node).text
