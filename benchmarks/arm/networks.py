"""Whole networks by estimates of their kernel calls; what is missing is estimated once for all and kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from math import inf

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.measure import Latency
from nascompiler.backends.predict import predict, timed_calls
from nascompiler.backends.store import Measurements
from nascompiler.backends.target import Target
from nascompiler.ir import Graph
from nascompiler.search.latency.build import measure_calls
from nascompiler.search.latency.collection import Collection
from nascompiler.search.latency.lowering import lowered
from nascompiler.search.latency.table import LatencyTable


def estimates(
    networks: Mapping[str, Graph], target: Target, known: Measurements, *, budget_s: float = inf
) -> dict[str, Latency]:
    """The estimate of each network, the sum of its calls, of which `known` keeps those that are new.

    Exits with 3 when the budget is over before all calls are known: the same command goes on from there.
    """
    assigned = {name: lowered(graph, target) for name, graph in networks.items()}
    calls = {key: KernelCall.of(nodes[0]) for graph in assigned.values() for key, nodes in timed_calls(graph).items()}
    table = LatencyTable(Collection("", "", target.fingerprint, calls), target, known)
    missing = table.missing()
    began = time.monotonic()

    def report(done: int, left_s: float, key: str, tuning: object) -> None:
        if done % 20 == 0 or done == len(missing):
            spent = time.monotonic() - began
            print(f"{done} of {len(missing)} calls in {spent:.0f} s", file=sys.stderr, flush=True)

    measure_calls(table, missing, budget_s=budget_s, report=report)
    if left := len(table.missing()):
        print(f"{left} calls are left for another time", file=sys.stderr)
        raise SystemExit(3)
    found = {}
    for name, graph in assigned.items():
        prediction = predict(graph, target, known)
        if prediction.missing:
            raise SystemExit(f"{name}: no estimate of {', '.join(prediction.missing)}")
        found[name] = prediction.latency
    return found
