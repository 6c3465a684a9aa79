"""How the times of kernel calls come about on a target: measured, on this machine or on a board, or estimated."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from nascompiler.backends.measure.environment import environment
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store.generator import generator_hash, generator_versions
from nascompiler.backends.store.rows import Session
from nascompiler.backends.target import Target
from nascompiler.ir.graph import Graph

ESTIMATE_WORKER = (sys.executable, "-m", "nascompiler.backends.arm.estimate.worker")

DEVICE_WORKER = (sys.executable, "-m", "nascompiler.backends.devices.kernel_worker")

_ESTIMATE_PATIENCE_S = 900.0
"""How long a variant may take in the emulator, and to be compiled and modelled."""


def timing_kind(target: Target) -> Kind:
    """What the times of kernel calls on a target are."""
    return Kind.ESTIMATED if target.is_emulated else Kind.MEASURED


def kernel_measurer(graph: Graph, target: Target) -> KernelMeasurer:
    """Who tells the times of a graph's calls on a target; raises DeviceError where something is missing for it."""
    if target.core is None:
        return KernelMeasurer(graph, target)
    if not target.is_emulated:
        return KernelMeasurer(graph, target, command=DEVICE_WORKER, pinned=False)
    from nascompiler.backends.arm.estimate.estimator import Estimator

    Estimator(target)  # says at once what is missing
    return KernelMeasurer(graph, target, command=ESTIMATE_WORKER, patience_s=_ESTIMATE_PATIENCE_S, pinned=False)


def new_session(target: Target) -> Session:
    """What all times of calls that are taken from now on have in common."""
    return Session(
        target.timing_fingerprint,
        generator_hash(),
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        timing_kind(target),
        versions=generator_versions(),
        environment=_conditions(target),
    )


def _conditions(target: Target) -> dict[str, Any]:
    if target.core is None:
        return environment(threads=1).to_json()
    if not target.is_emulated:
        return device_conditions(target)
    from nascompiler.backends.arm.estimate.estimator import Estimator

    return Estimator(target).environment


def device_conditions(target: Target) -> dict[str, Any]:
    """What a board says of itself: clock, governor, system; raises DeviceError when it does not answer."""
    from nascompiler.backends.devices.address import device_of
    from nascompiler.backends.devices.opening import describe_device, open_session

    assert target.core is not None, target
    address = device_of(str(target.options["device"]))
    with open_session(target.core, address) as session:
        described = describe_device(session)
    told = {} if described is None else {**asdict(described), "features": sorted(described.features)}
    return {"device": str(address), "core": target.core.name, **told}
