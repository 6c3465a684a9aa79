"""How long it takes to simulate a network on a TPU: time alone, and values with it; beside SCALE-Sim's time alone.

    python -m benchmarks.tpu_simulator [--network resnet-50] [--target tpu:v1] [--scalesim PYTHON] [--layers N]

`--scalesim` names the Python of an environment of its own, with scalesim==3.0.0 and numpy<2. It simulates the first
`--layers` distinct convolutions of the network on a weight-stationary array of the same side, each in a process of its
own. Its cycles should be folds * (2R + C + T - 2), which is what our timing comes to without overlap; ours is asked for
the same layer on the same machine without overlap and with unlimited bandwidth.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np

from nascompiler import api, zoo
from nascompiler.backends.tpu.compiler.best import best_program
from nascompiler.backends.tpu.compiler.compile import emit_program
from nascompiler.backends.tpu.isa import MmcFlag, Opcode, Program, ProgramBuilder
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.simulator import simulate
from nascompiler.backends.tpu.timing import networks_of, time_network
from nascompiler.ir import Graph, Node
from nascompiler.ir.labels import node_labels
from nascompiler.passes.quantization.structure import integer_structure

CONFIGURATION = """[general]
run_name = side_by_side
[architecture_presets]
ArrayHeight: {side}
ArrayWidth: {side}
IfmapSramSzkB: 8192
FilterSramSzkB: 8192
OfmapSramSzkB: 8192
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Dataflow: ws
Bandwidth: 10
ReadRequestBuffer: 512
WriteRequestBuffer: 512
[layout]
IfmapCustomLayout: False
FilterCustomLayout: False
IfmapSRAMBankBandwidth: 10
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterSRAMBankBandwidth: 10
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
SparseRep: ellpack_block
OptimizedMapping: false
BlockSize: 8
RandomNumberGeneratorSeed: 40
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""
LAYOUT_NAMES = "Layer name," + ",".join(f"factor {i}" for i in range(21)) + ","


def least(run: Callable[[], object], repeats: int = 10) -> float:
    """The least of the seconds that a call takes, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


Layer = tuple[int, ...]
"""A convolution as SCALE-Sim describes it: height and width with padding, kernel, channels, filters, stride."""


def convolutions(graph: Graph) -> list[tuple[str, Node, Layer]]:
    """The distinct dense convolutions of a network, each by the label of the first one."""
    labels, found = node_labels(graph), {}
    for node in graph.nodes:
        if node.op.name != "qnn.conv2d" or node["groups"] != 1:
            continue
        _, height, width, filters = node.result.type.static_shape
        kernel_height, kernel_width, channels, _ = node.operands[1].type.static_shape
        stride = node["strides"][0]  # SCALE-Sim rounds sizes up: what no window reaches is left out
        needed = ((height - 1) * stride + kernel_height, (width - 1) * stride + kernel_width)
        layer = (*needed, kernel_height, kernel_width, channels, filters, stride)
        found.setdefault(layer, (labels[node], node, layer))
    return list(found.values())


def alone(node: Node) -> Graph:
    """A network of one layer."""
    graph = Graph("layer")
    x = graph.add_input("x", node.operands[0].type)
    constants = [graph.constant(v.constant) for v in node.operands[1:] if v.constant is not None]
    made = graph.insert(node.op, (x, *constants), node.attributes, names=("layer",))
    graph.set_outputs({"y": made.result})
    return graph


def rows_and_folds(layer: Layer, side: int) -> tuple[int, int]:
    """Rows that pass the array for each tile, and tiles."""
    height, width, kernel_height, kernel_width, channels, filters, stride = layer
    rows = ((height - kernel_height) // stride + 1) * ((width - kernel_width) // stride + 1)
    return rows, ceil(kernel_height * kernel_width * channels / side) * ceil(filters / side)


def closed_form(layer: Layer, side: int) -> int:
    """folds * (2R + C + T - 2) of a convolution on a weight-stationary array."""
    rows, folds = rows_and_folds(layer, side)
    return folds * (3 * side + rows - 2)


def compare(python: str, layers: list[tuple[str, Node, Layer]], machine: Machine) -> None:
    """Let SCALE-Sim time layers, and print its cycles and seconds beside ours and the closed form."""
    bare = parse_machine(f"tpu:v1{{array={machine.array},overlap=false,weight-bandwidth=unlimited,accumulators=65536}}")
    theirs = ours = 0.0
    print("  layer, SCALE-Sim: cycles, s; closed form: cycles; ours: cycles of the array, ms")
    for name, node, layer in layers:
        cycles, seconds = run_scalesim(python, layer, machine.array)
        graph = alone(node)
        own = least(partial(time_network, graph, machine), 3)
        total = array_cycles(layer, bare)
        print(f"  {name}: {cycles:,}, {seconds:.1f}; {closed_form(layer, machine.array):,}; {total:,}, {1e3 * own:.2f}")
        theirs, ours = theirs + seconds, ours + own
    print(f"  {len(layers)} layers: SCALE-Sim {theirs:.0f} s, ours {1e3 * ours:.1f} ms, planning included")


def array_cycles(layer: Layer, machine: Machine) -> int:
    """Cycles of the array for a layer: a tile and one instruction for each fold, from its first to its last cycle."""
    rows, folds = rows_and_folds(layer, machine.array)
    builder = ProgramBuilder()
    builder.configure(M_K=machine.array, M_PIXEL_STRIDE=1)
    for _ in range(folds):
        builder.read_weights(0, rows=machine.array, columns=machine.array)
        builder.multiply(0, 0, rows, flags=MmcFlag.NEW_TILE)
    program = Program(builder.finish(), np.zeros(0, np.uint8), machine.array)
    run = simulate(program, machine, verify=False)
    first = int(np.flatnonzero(program.instructions["opcode"] == Opcode.MMC)[0])
    return int(run.finish.max()) - first


def run_scalesim(python: str, layer: Layer, side: int) -> tuple[int, float]:
    """The cycles that SCALE-Sim computes for a layer, and how many seconds it takes."""
    with tempfile.TemporaryDirectory() as folder:
        topology = Path(folder) / "topology.csv"
        header = "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,"
        topology.write_text(header + "\n" + ",".join(("L0", *map(str, layer), "")))
        layout = Path(folder) / "layout.csv"  # asked for, and not used: custom layouts are off
        layout.write_text(LAYOUT_NAMES + f"\nL0,{','.join(['1'] * 21)},")
        configuration = Path(folder) / "scale.cfg"
        configuration.write_text(CONFIGURATION.format(side=side))
        command = [python, "-m", "scalesim.scale", "-c", str(configuration), "-t", str(topology)]
        command += ["-l", str(layout), "-p", folder, "-s", "N"]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        seconds = time.perf_counter() - start
        reports = list(Path(folder).rglob("COMPUTE_REPORT.csv"))
        if done.returncode or len(reports) != 1:
            raise SystemExit(f"SCALE-Sim failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        names, values = (line.split(",") for line in reports[0].read_text().strip().splitlines())
        row = {name.strip().lower(): value for name, value in zip(names, values, strict=True)}
        return int(float(row["total cycles"]) - float(row["stall cycles"])), seconds


def time_program(number: int, program: Program, machine: Machine) -> None:
    """Print how long the simulator takes for one program."""
    host = np.zeros(program.host_bytes, np.uint8)
    run = simulate(program, machine)
    print(f"  region {number}: {len(program.instructions):,} instructions, {run.cycles:,} cycles")
    print(f"    time alone: {1e3 * least(lambda: simulate(program, machine, verify=False)):.2f} ms")
    print(f"    verified as well: {1e3 * least(lambda: simulate(program, machine)):.2f} ms")
    print(f"    values and time: {1e3 * least(lambda: simulate(program, machine, host, verify=False), 3):.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet-50")
    parser.add_argument("--target", default="tpu:v1")
    parser.add_argument("--scalesim")
    parser.add_argument("--layers", type=int, default=5)
    options = parser.parse_args()
    machine = parse_machine(options.target)
    network = api.optimize(zoo.load(options.network), "expand-cells{statistics=random}")
    graph = integer_structure(network, whole=True)
    print(f"{options.network} on {machine}, batch 1")
    print(f"  compile and time, from the graph: {1e3 * least(lambda: time_network(graph, machine), 3):.1f} ms")
    for number, built in enumerate(networks_of(graph, machine)[0]):
        plan = best_program(built, machine).plan
        time_program(number, emit_program(built, machine, plan, values=True), machine)
    if options.scalesim:
        compare(options.scalesim, convolutions(graph)[: options.layers], machine)


if __name__ == "__main__":
    main()
