"""How long a candidate of a search takes on a simulated TPU, from its architecture to cycles, step by step.

    python -m benchmarks.tpu_candidates [--space mobilenet-v3-layers] [--target tpu:v1] [--candidates 30]

Every candidate is drawn anew from the space, as in a search: what is kept between them are the costs, tables and places
of layers that look the same. The first few are left out: loops are compiled then, and layers seen for the first time.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from itertools import pairwise

from nascompiler import spaces
from nascompiler.backends.tpu.machine import parse_machine
from nascompiler.backends.tpu.timing import time_network
from nascompiler.passes import run_pipeline
from nascompiler.passes.quantization.structure import integer_structure
from nascompiler.search.latency.lowering import network_of

WARM_UP = 8
STEPS = ("the network of the architecture", "its integer structure", "placed, planned, emitted and timed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mobilenet-v3-layers")
    parser.add_argument("--target", default="tpu:v1")
    parser.add_argument("--candidates", type=int, default=30)
    options = parser.parse_args()
    machine, space = parse_machine(options.target), spaces.load_graph(options.space)
    rows = []
    for seed in range(WARM_UP + options.candidates):
        architecture = run_pipeline(space, f"decide{{seed={seed}}}")
        gc.collect()
        gc.disable()  # as SimulatedLatency has it
        marks = [time.perf_counter()]
        network = network_of(architecture)
        marks.append(time.perf_counter())
        integer = integer_structure(network)
        marks.append(time.perf_counter())
        time_network(integer, machine)
        marks.append(time.perf_counter())
        gc.enable()
        rows.append([1e3 * (end - start) for start, end in pairwise(marks)])
    measured = rows[WARM_UP:]
    print(f"{len(measured)} candidates of {options.space} on {machine}, ms: least, lower quartile, median")
    columns = [*zip(*measured, strict=True), [sum(row) for row in measured]]
    for name, times in zip((*STEPS, "all"), columns, strict=True):
        quartile = statistics.quantiles(times, n=4)[0]
        print(f"  {name}: {min(times):.1f}, {quartile:.1f}, {statistics.median(times):.1f}")


if __name__ == "__main__":
    main()
