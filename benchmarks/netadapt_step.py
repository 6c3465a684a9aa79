"""How long the proposals of a NetAdapt step take for MobileNetV3-Large: `python benchmarks/netadapt_step.py`.

The table is made warm first: what a step asks for is measured, or with `--made-up` filled in by the sizes of calls
(in a store of its own). Timed is all from the network to proposals with their latencies, in CPU time of this process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from nascompiler import zoo
from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.measure import Kind
from nascompiler.backends.store import Measurements, Outcome, Row, Session, Store, Tuning, known_measurements
from nascompiler.backends.store.generator import generator_hash
from nascompiler.backends.target import parse_target
from nascompiler.ir import Graph
from nascompiler.ir.channels import channel_structure
from nascompiler.netadapt.proposals import Proposal, goals, propose
from nascompiler.netadapt.resources import LatencyOf
from nascompiler.netadapt.shrinkable import shrinkables
from nascompiler.passes import run_pipeline
from nascompiler.search.latency.predicted import PredictedLatency

REPEATS = 5
STEP = 0.025


class MadeUp(PredictedLatency):
    """Latencies by the sizes of calls, kept in the store as measured ones are."""

    def _measure_calls(self, calls: Mapping[str, KernelCall]) -> None:
        target = parse_target(self.target)
        session = Session(target.fingerprint, generator_hash(), "2000-01-01", versions={}, environment={})
        for key, call in calls.items():
            ns = 500.0 + sum(t.bytes for t in (*call.operands, *call.results)) / 20
            row = Row(next(iter(variants(call, target))), Outcome.MEASURED, ns, 1.0, 30, 1.0)
            self._known.stores[0].add(key, session, Tuning((row,), 0.0, Kind.MEASURED, True))


def step(graph: Graph, source: PredictedLatency) -> tuple[int, list[Proposal]]:
    """Everything from a network to the proposals of its first step."""
    structure = channel_structure(graph)
    narrowing = LatencyOf(source).narrowing(structure)
    (now,) = narrowing.amounts([{}])
    values = {"cpu": now}
    found = shrinkables(structure)
    lengths = [group.length for group in structure.groups]
    wanted = goals(values, values, {"cpu": 0.5 * now}, STEP)
    return len(found), propose(found, lengths, {"cpu": narrowing}, {}, values, wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--made-up", action="store_true")
    parser.add_argument("--network", default="mobilenet-v3-large", choices=zoo.names())
    arguments = parser.parse_args()
    graph = run_pipeline(zoo.load(arguments.network), "expand-cells{statistics=random}")
    with tempfile.TemporaryDirectory() as folder:
        known = Measurements((Store(Path(folder) / "store.sqlite"),)) if arguments.made_up else known_measurements()
        kind = MadeUp if arguments.made_up else PredictedLatency
        count, proposals = step(graph, kind("cpu", known=known))
        print(f"{arguments.network}: {count} can shrink, {len(proposals)} proposals take {STEP:.1%}")
        for _ in range(REPEATS):
            source = kind("cpu", known=known)
            began, wall = time.process_time(), time.perf_counter()
            step(graph, source)
            print(f"{time.process_time() - began:.3f} s of CPU time, {time.perf_counter() - wall:.3f} s")


if __name__ == "__main__":
    main()
