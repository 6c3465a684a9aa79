"""Every node gets a place and a reason; what the host keeps is told."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.backends.compile import default_pipeline
from nascompiler.backends.cpu.assign_kernels import AssignKernels
from nascompiler.backends.errors import GateError
from nascompiler.backends.target import parse_target
from nascompiler.backends.tpu.placement import offload_faults, regions_of, require_full_offload
from nascompiler.backends.tpu.region import extract, host_graph
from nascompiler.ir import DType, Graph, evaluate, verify
from nascompiler.ir.text import parse, print_graph
from nascompiler.passes import run_pipeline
from nascompiler.passes.infrastructure.pipeline import Pipeline, Step
from tests.backends.tpu.networks import Networks

TARGET = "tpu:tiny{unified-buffer=256KiB,parameter-memory=64KiB}"


def _with_float_middle() -> tuple[Graph, Networks]:
    """Two convolutions with a softmax between them, which only the host computes."""
    made = Networks((1, 6, 6, 4))
    b = made.builder
    first = made.conv(made.inputs[0], 6)
    real = b.nn.softmax(b.qnn.dequantize(first, x_scale=0.05, x_zero_point=-5), axis=3)
    again = b.qnn.quantize(real, scale=0.05, zero_point=-5, dtype=DType.I8)
    made.zero_points[again] = -5
    return made.graph(made.conv(again, 3, (2, 2), dtype=DType.F32), first), made


def _assigned(graph: Graph, target: str = TARGET) -> Graph:
    return run_pipeline(graph, default_pipeline(target))


def test_regions_and_reasons() -> None:
    graph, made = _with_float_middle()
    assigned = _assigned(graph)
    verify(assigned, parse_target(TARGET).legality)
    assert [n.op.name for n in assigned.nodes] == [
        "tpu.conv2d",
        "host.dequantize",
        "host.softmax",
        "host.quantize",
        "tpu.conv2d",
    ]
    assert [[n["region"] for n in nodes] for nodes in regions_of(assigned)] == [[0], [1]]
    assert all(node["reason"] for node in assigned.nodes)
    assert offload_faults(assigned) == [
        "host.softmax.2 (nn.softmax): it computes in floating point, and the array multiplies integers"
    ]
    inputs = made.arrays()
    before, after = evaluate(graph, inputs), evaluate(assigned, inputs)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_graph_with_places_stays_and_prints() -> None:
    assigned = _assigned(_with_float_middle()[0])
    text = print_graph(assigned)
    again = run_pipeline(assigned, Pipeline((Step(AssignKernels(TARGET)),)))
    assert print_graph(again) == text
    assert print_graph(parse(text)) == text


def test_regions_become_nodes_of_the_hosts_graph() -> None:
    graph, made = _with_float_middle()
    assigned = _assigned(graph)
    regions = extract(assigned, TARGET)
    host = host_graph(assigned, regions)
    verify(host)
    names = [n.op.name for n in host.nodes]
    assert names == ["tpu.region", "qnn.dequantize", "nn.softmax", "qnn.quantize", "tpu.region"]
    inputs = made.arrays()
    before, after = evaluate(graph, inputs), evaluate(host, inputs)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert extract(assigned, "tpu:other")[0].symbol != regions[0].symbol


def test_full_offload_lists_every_reason() -> None:
    graph, _ = _with_float_middle()
    with pytest.raises(GateError, match=r"(?s)1 node\(s\) are not computed by tpu:tiny:.*softmax.*floating point"):
        require_full_offload(_assigned(graph), "tpu:tiny")
    strict = _assigned(_residual(), "tpu:v1{extensions=none}")
    with pytest.raises(GateError, match="an extension that this variant lacks"):
        require_full_offload(strict, "tpu:v1{extensions=none}")
    require_full_offload(_assigned(_residual(), "tpu:v1"), "tpu:v1")


def _residual() -> Graph:
    made = Networks((1, 6, 6, 4))
    x = made.conv(made.inputs[0], 4)
    return made.graph(made.pair("add", x, x))


def test_what_multiplies_nothing_stays_on_the_host() -> None:
    made = Networks((1, 4, 4, 6))
    graph = made.graph(made.moved(made.inputs[0], made.builder.nn.flatten(made.inputs[0])))
    (node,) = _assigned(graph).nodes
    assert node.op.name == "host.reshape"
    assert "no gain" in node["reason"]
