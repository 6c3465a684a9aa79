"""The estimate of an artifact for a core that is not here: its kernel calls, each by its recorded variant, added up."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from nascompiler import __version__
from nascompiler.backends.artifact import AFTER
from nascompiler.backends.cpu.call_graph import call_graph, with_random_constants
from nascompiler.backends.cpu.choice import METASCHEDULE, TVM
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.manifest import Manifest
from nascompiler.backends.measure import Environment, Kind, Latency
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.latency import LayerTime
from nascompiler.backends.measure.timing import kernel_measurer, new_session
from nascompiler.backends.predict import layer_time, timed_calls
from nascompiler.backends.store import Measurements, Outcome, Row, Session, Tuning, known_measurements
from nascompiler.backends.target import Target, parse_target
from nascompiler.ir.cost import node_cost
from nascompiler.ir.files import load
from nascompiler.ir.graph import Node
from nascompiler.ir.labels import node_labels

MOST_PROCESSES = 8
"""Each holds the weights of all calls that are estimated."""


def estimate_artifact(
    folder: Path, manifest: Manifest, known: Measurements | None = None
) -> tuple[Latency, Environment]:
    """The estimate, with a row for each call, and the model that it stands on.

    Rows add up to the latency. What TVM fuses is taken for the sum of its parts. Calls that are not known are estimated
    now and kept in the first store of `known` (default: the overlay). Raises DeviceError where something that estimates
    need is missing, and for a call that fails.
    """
    target = parse_target(manifest.target)
    session = new_session(target)
    known = known_measurements() if known is None else known
    graph = load(folder / AFTER)
    labels = node_labels(graph)
    calls = timed_calls(graph)
    rows = _rows(calls, manifest, target, known, session)
    layers: list[LayerTime] = []
    for node in graph.nodes:
        key = KernelCall.of(node).key
        if node in calls.get(key, ()):
            layers.append(layer_time(labels[node], node.op.name, rows[key], node_cost(node)))
    latency = Latency(Kind.ESTIMATED, [sum(layer.ns for layer in layers)], layers=tuple(layers))
    return latency, model_environment(target, session)


def _rows(
    calls: dict[str, list[Node]], manifest: Manifest, target: Target, known: Measurements, session: Session
) -> dict[str, Row]:
    """The row of the variant that computes each call."""
    taken = {key: _variant(KernelCall.of(nodes[0]), manifest) for key, nodes in calls.items()}
    tunings = {key: tuning for key, tuning in known.tunings(calls, target.timing_fingerprint).items() if tuning.fresh}
    missing = [key for key, variant in taken.items() if _row(tunings.get(key), variant, manifest) is None]
    wanted = {key: _Wanted.of(KernelCall.of(calls[key][0]), taken[key], manifest) for key in missing}
    with closing(_estimated(wanted, target)) as estimates:
        for key, new in estimates:
            tuning = joined(tunings.get(key), new)
            if not tuning.measured:
                listed = "; ".join(f"{row.outcome.value}: {row.detail}" for row in tuning.rows)
                raise DeviceError(f"no estimate of {key} by {taken[key]}: {listed}")
            known.stores[0].add(key, session, tuning)
            tunings[key] = tuning
    found = {key: _row(tunings[key], variant, manifest) for key, variant in taken.items()}
    return {key: row for key, row in found.items() if row is not None}


@dataclass(frozen=True)
class _Wanted:
    """A call, and the variant of it that is to be estimated, with its schedule where it has one."""

    call: KernelCall
    only: list[str]
    schedules: dict[str, str] | None

    @classmethod
    def of(cls, call: KernelCall, variant: str, manifest: Manifest) -> _Wanted:
        if variant == METASCHEDULE:
            return cls(call, [], {METASCHEDULE: manifest.schedules[call.text]})
        return cls(call, [variant], None)


def _estimated(wanted: Mapping[str, _Wanted], target: Target) -> Generator[tuple[str, Tuning]]:
    """The estimates of calls by their keys, by as many processes as there are processors; those of most work first."""
    if not wanted:
        return
    graph = with_random_constants(call_graph([each.call for each in wanted.values()]))
    work = {KernelCall.of(node).key: node_cost(node).macs or 0 for node in graph.nodes}
    count = min(len(os.sched_getaffinity(0)), len(wanted), MOST_PROCESSES)
    with ExitStack() as stack:
        free: SimpleQueue[KernelMeasurer] = SimpleQueue()
        for _ in range(count):
            free.put(stack.enter_context(kernel_measurer(graph, target)))
        pool = stack.enter_context(ThreadPoolExecutor(count))

        def estimate(key: str) -> tuple[str, Tuning]:
            measurer, each = free.get(), wanted[key]
            try:
                return key, measurer.measure(key, 0.0, only=each.only, schedules=each.schedules)
            finally:
                free.put(measurer)

        begun = [pool.submit(estimate, key) for key in sorted(wanted, key=lambda key: -work.get(key, 0))]
        try:
            for made in as_completed(begun):
                yield made.result()
        finally:
            for made in begun:
                made.cancel()


def _variant(call: KernelCall, manifest: Manifest) -> str:
    return manifest.variants.get(call.text, TVM)


def _row(tuning: Tuning | None, variant: str, manifest: Manifest) -> Row | None:
    """The row of a variant; a schedule that was searched for must be the recorded one."""
    row = None if tuning is None else tuning.measured.get(variant)
    if row is not None and variant == METASCHEDULE and row.schedule not in manifest.schedules.values():
        return None
    return row


def joined(before: Tuning | None, new: Tuning) -> Tuning:
    """Estimates of some variants of a call together with earlier ones of others: they do not depend on each other."""
    if before is None or not before.fresh:
        return new
    rows = {row.variant: row for row in (*before.rows, *new.rows)}
    timed = [row for row in rows.values() if row.outcome is Outcome.MEASURED]
    first = timed[0].median_ns if timed else 0.0
    gains = {row.variant: replace(row, gain=first / row.median_ns) for row in timed}
    noise = max(before.noise, new.noise)
    return Tuning(tuple(gains.get(name, row) for name, row in rows.items()), noise, new.kind, True)


def model_environment(target: Target, session: Session | None = None) -> Environment:
    """The core and its model in the place of a machine and its state."""
    core = target.core
    assert core is not None, target
    session = new_session(target) if session is None else session
    model = f"LLVM {session.environment['llvm']}'s model of {core.model.processor}"
    return Environment(
        cpu=f"{core.name} by {model}",
        architecture=target.isa.architecture,
        cores=core.cores,
        affinity=(),
        governor=None,
        frequency_mhz=core.clock_hz / 1e6,
        load_average=(0.0, 0.0, 0.0),
        platform="estimated",
        versions={"nascompiler": __version__, **session.versions},
        warnings=(f"an estimate, not a measurement: {core.model.origin}",),
    )


def check_options(threads: int, against: Sequence[str], target: Target) -> None:
    """Raises DeviceError for what only a device can tell."""
    if threads != 1:
        raise DeviceError(
            f"estimates for {target.name} are of one thread; measure {threads} on a board: device=HOST:PORT"
        )
    if against:
        raise DeviceError(f"there are no estimates of {', '.join(against)}: other runtimes can only be measured")
