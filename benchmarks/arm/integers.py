"""How much faster networks of integers are than float32 on cores with dot products of bytes.

    python -m benchmarks.arm.integers [--target arm:cortex-a76] [--store FILE] [--budget SECONDS] [--json] [MODEL...]

Estimated cycles of whole networks, quantised with generated images, default kernels. The exit code is 4 when
MobileNetV1 or V2 gains less than 2.5 times on a core with dot products.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import islice
from math import inf
from pathlib import Path

import nascompiler as nc
from benchmarks.arm.networks import estimates
from nascompiler.backends.store import Measurements, Store, known_measurements
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph
from nascompiler.passes.quantization.quantizer import quantize_graph
from nascompiler.search.latency.lowering import network_of
from nascompiler.verification import synthetic_inputs

MODELS = ("mobilenet-v1", "mobilenet-v2", "mobilenet-v3-large", "mobilenet-v3-small", "mnasnet-a1")
GATED = ("mobilenet-v1", "mobilenet-v2")
WANTED = 2.5

CALIBRATION_IMAGES = 2
"""Cycles do not depend on values."""


def quantized(graph: Graph) -> Graph:
    """The network with integers, calibrated with a few generated images."""
    network = network_of(graph)
    return quantize_graph(network, islice(synthetic_inputs(network, 0), CALIBRATION_IMAGES)).graph


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--target", default="arm:cortex-a76")
    parser.add_argument("--store", type=Path, help="estimates are kept there, not in the user's cache")
    parser.add_argument("--budget", type=float, default=inf, help="seconds; the same command goes on from there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    target = parse_target(options.target)
    assert target.core is not None
    known = Measurements((Store(options.store),)) if options.store else known_measurements()
    graphs = {name: nc.load(name) for name in options.models}
    networks = {f"{name} float32": graph for name, graph in graphs.items()}
    networks |= {f"{name} int8": quantized(graph) for name, graph in graphs.items()}
    latencies = estimates(networks, target, known, budget_s=options.budget)
    clock = target.core.clock_hz
    rows = []
    for name in options.models:
        floats, integers = (latencies[f"{name} {kind}"].median_ns for kind in ("float32", "int8"))
        rows.append(
            {
                "model": name,
                "float32_cycles": floats * clock / 1e9,
                "int8_cycles": integers * clock / 1e9,
                "float32_ms": floats / 1e6,
                "int8_ms": integers / 1e6,
                "ratio": floats / integers,
            }
        )
    if options.json:
        print(json.dumps({"target": str(target), "networks": rows}, indent=1))
    else:
        print(f"{target}, core model {target.core.model.processor}, million cycles")
        print(f"  {'network':20} {'float32':>8} {'int8':>8} {'ratio':>6}")
        for row in rows:
            print(
                f"  {row['model']:20} {row['float32_cycles'] / 1e6:8.2f} {row['int8_cycles'] / 1e6:8.2f} "
                f"{row['ratio']:6.2f}"
            )
    has_dots = "dotprod" in target.isa.dots
    return 4 if has_dots and any(row["ratio"] < WANTED for row in rows if row["model"] in GATED) else 0


if __name__ == "__main__":
    sys.exit(main())
