"""The estimate of an artifact for a core that is not here: its kernel calls, each by its recorded variant, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nascompiler import __version__
from nascompiler.backends.artifact import AFTER
from nascompiler.backends.cpu.call_graph import call_graph, with_random_constants
from nascompiler.backends.cpu.choice import METASCHEDULE, TVM
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.manifest import Manifest
from nascompiler.backends.measure import Environment, Kind, Latency
from nascompiler.backends.measure.latency import LayerTime
from nascompiler.backends.measure.timing import kernel_measurer, new_session
from nascompiler.backends.predict import layer_time, timed_calls
from nascompiler.backends.store import Measurements, Outcome, Row, Session, Tuning, known_measurements
from nascompiler.backends.target import Target, parse_target
from nascompiler.ir.cost import node_cost
from nascompiler.ir.files import load
from nascompiler.ir.graph import Node
from nascompiler.ir.labels import node_labels


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
    if missing:
        made = [KernelCall.of(calls[key][0]) for key in missing]
        with kernel_measurer(with_random_constants(call_graph(made)), target) as measurer:
            for key, call in zip(missing, made, strict=True):
                schedules = {METASCHEDULE: manifest.schedules[call.text]} if taken[key] == METASCHEDULE else None
                only = [] if schedules else [taken[key]]
                tuning = joined(tunings.get(key), measurer.measure(key, 0.0, only=only, schedules=schedules))
                if not tuning.measured:
                    listed = "; ".join(f"{row.outcome.value}: {row.detail}" for row in tuning.rows)
                    raise DeviceError(f"no estimate of {key} by {taken[key]}: {listed}")
                known.stores[0].add(key, session, tuning)
                tunings[key] = tuning
    found = {key: _row(tunings[key], variant, manifest) for key, variant in taken.items()}
    return {key: row for key, row in found.items() if row is not None}


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
