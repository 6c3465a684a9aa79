"""Time from structure: what it counts, and how it answers to the machine."""

from __future__ import annotations

import pytest

from nascompiler import api
from nascompiler.backends.measure import Kind
from nascompiler.backends.tpu.compiler.best import best_program
from nascompiler.backends.tpu.compiler.compile import emit_program
from nascompiler.backends.tpu.isa import Opcode, Program
from nascompiler.backends.tpu.isa.verify import program_faults
from nascompiler.backends.tpu.machine import parse_machine
from nascompiler.backends.tpu.timing import networks_of, time_network
from nascompiler.ir import Graph
from nascompiler.ir.cost import node_cost
from nascompiler.passes.quantization.structure import integer_structure


@pytest.fixture(scope="module")
def network() -> Graph:
    graph = api.load("mobilenet-v3-small", resolution=64)
    return integer_structure(api.optimize(graph, "expand-cells{statistics=random}"))


def test_the_layers_add_up_and_useful_work_is_the_networks(network: Graph) -> None:
    timing = time_network(network, "tpu:v1")
    latency = timing.latency
    assert latency.kind is Kind.SIMULATED
    assert latency.layers_ns == pytest.approx(latency.median_ns)
    macs = sum(node_cost(node).macs or 0 for node in network.nodes)
    # patches at the edge count the part of their pixels that is in the image, rounded for each tile
    assert timing.total.useful_macs == pytest.approx(macs, rel=0.02)
    assert all("conversion" in reason for reason in timing.host.values())


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("weight-bandwidth=136GB/s", ""),
        ("clock=2800MHz", ""),
        ("accumulators=16384", ""),
        ("extensions=all", ""),
        ("unified-buffer=96MiB", ""),
        ("", "extensions=elementwise,accumulators=1024"),
    ],
)
def test_more_of_anything_is_never_slower(network: Graph, more: str, less: str) -> None:
    fast, slow = parse_machine(f"tpu:v1{{{more}}}"), parse_machine(f"tpu:v1{{{less}}}")
    seconds = [machine.seconds(time_network(network, machine).cycles) for machine in (fast, slow)]
    assert seconds[0] <= seconds[1]


def test_mobilenet_with_extensions_is_twice_as_fast_as_resnet() -> None:
    machine = "tpu:v1{extensions=all}"
    seconds = []
    for name in ("mobilenet-v3-large", "resnet-50"):
        expanded = api.optimize(api.load(name), "expand-cells{statistics=random}")
        seconds.append(time_network(integer_structure(expanded), machine).cycles)
    assert 2 * seconds[0] <= seconds[1]


def test_removing_any_sync_of_a_compiled_program_is_detected(network: Graph) -> None:
    machine = parse_machine("tpu:v1{extensions=all}")
    (part,), _ = networks_of(network, machine)
    program = emit_program(part, machine, best_program(part, machine).plan)
    assert program_faults(program, machine) == []
    syncs = [i for i, row in enumerate(program.instructions) if row["opcode"] == Opcode.SYNC]
    assert len(syncs) > 100
    for index in syncs[:: max(len(syncs) // 40, 1)]:
        instructions = program.instructions.copy()
        instructions[index] = (Opcode.NOP, 0, 0, 0, 0, 0, 0)
        broken = Program(instructions, program.weights, program.array, program.tags, program.host_bytes)
        assert program_faults(broken, machine), index


def test_time_does_not_ask_for_weights() -> None:
    network = api.optimize(api.load("mobilenet-v3-small", resolution=64), "expand-cells{statistics=random}")
    time_network(integer_structure(network), "tpu:v1")
    weights = [v.constant for v in network.constants if v.type.size > 4096 and v.constant is not None]
    assert len(weights) > 20
    assert all(constant.is_pending for constant in weights)
