"""Tuning a network as a user asks for it: its kernels assigned, its calls measured, and what it gains end to end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nascompiler.backends.compile import compile_graph, with_kernels
from nascompiler.backends.cpu.choice import choose
from nascompiler.backends.errors import TuningError
from nascompiler.backends.measure import Kind
from nascompiler.backends.store import Measurements, Store, known_measurements
from nascompiler.backends.target import Target, parse_target
from nascompiler.backends.tpu.target import TpuTarget
from nascompiler.backends.tune import Progress, TuningResult, tune_graph
from nascompiler.backends.tune_schedules import ScheduleProgress
from nascompiler.bench.comparison import compare_artifacts
from nascompiler.bench.estimated import model_environment
from nascompiler.ir import Graph
from nascompiler.ir.errors import UsageError
from nascompiler.passes import run_pipeline

CHECK_ROUNDS = 8

ESTIMATE_NOISE = 0.02
"""Estimates that differ by less are the same: the model of a core is no better than that."""


def tune_network(
    graph: Graph,
    target: str,
    *,
    budget_s: float,
    pipeline: str | None = None,
    again: bool = False,
    check: bool = True,
    metaschedule: bool = False,
    store: Path | None = None,
    report: Callable[[Progress | ScheduleProgress], None] = lambda progress: None,
) -> TuningResult:
    """See `nascompiler.tune`."""
    if not budget_s > 0:
        raise UsageError(f"the budget is {budget_s} s; it must be more than 0")
    chosen = parse_target(target)
    if isinstance(chosen, TpuTarget):
        return _tune_mappings(graph, chosen, budget_s, again, report)
    known = known_measurements() if store is None else Measurements((Store(store),))
    text = with_kernels(pipeline, chosen)
    assigned = run_pipeline(graph, text)
    result = tune_graph(
        assigned, chosen, budget_s=budget_s, known=known, again=again, metaschedule=metaschedule, report=report
    )
    if not check or all(call.variant == call.default for call in result.calls):
        return result
    if chosen.is_emulated:
        return replace(result, end_to_end=estimated_gain(result, chosen))
    with tempfile.TemporaryDirectory(prefix="nascompiler-tune-") as scratch:
        before, after = Path(scratch) / "default", Path(scratch) / "tuned"
        compile_graph(graph, chosen, before, pipeline=text, choose=partial(choose, known=Measurements(())))
        compile_graph(graph, chosen, after, pipeline=text, choose=partial(choose, known=known))
        compared = compare_artifacts(before, after, rounds=CHECK_ROUNDS)
    figures = {"default_ns": compared.first.median_ns, "tuned_ns": compared.second.median_ns}
    return replace(result, end_to_end={**figures, **compared.to_json()})


def _tune_mappings(
    graph: Graph, target: TpuTarget, budget_s: float, again: bool, report: Callable[[Progress], None]
) -> TuningResult:
    """Search the mappings of a network's layers on a TPU: of a float network, those of its integer structure."""
    from nascompiler.backends.tpu.timing import networks_of
    from nascompiler.backends.tpu.tune import tune_network_mappings
    from nascompiler.passes.quantization.structure import integer_structure

    integer = graph if any(node.op.dialect == "qnn" for node in graph.nodes) else integer_structure(graph)
    networks, _ = networks_of(integer, target.machine)
    if not networks:
        raise TuningError(f"{target} computes no part of {graph.name}")
    return tune_network_mappings(networks, target.machine, budget_s=budget_s, again=again, report=report)


def estimated_gain(result: TuningResult, target: Target) -> dict[str, Any]:
    """What tuning gains by the sums of estimates, of calls for which there are both; as `compare_artifacts` has it."""
    both = [(call, call.default_ns, call.ns) for call in result.calls if call.default_ns and call.ns]
    default = sum(before * len(call.nodes) for call, before, _ in both)
    tuned = sum(after * len(call.nodes) for call, _, after in both)
    ratio = default / tuned
    return {
        "default_ns": default,
        "tuned_ns": tuned,
        "kind": Kind.ESTIMATED.value,
        "ratio": ratio,
        "decided": ratio - 1 > ESTIMATE_NOISE,
        "environment": model_environment(target).to_json(),
    }
