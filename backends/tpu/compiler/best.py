"""The best of several plans by simulated time: those for a smaller machine run on a larger one too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nascompiler.backends.tpu.compiler.compile import Plan, emit_program, make_plan
from nascompiler.backends.tpu.compiler.mapping import Mapping as Layout
from nascompiler.backends.tpu.compiler.work import Network
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.simulator import Simulation, simulate
from nascompiler.backends.tpu.tuned import known_mappings
from nascompiler.ir.errors import ModelError

BASE = "tpu:v1"
"""The machine that variants are compared with."""


@dataclass(frozen=True)
class Timed:
    """A plan and its run without values."""

    plan: Plan
    run: Simulation


def plans(network: Network, machine: Machine, mappings: Mapping[str, Layout] | None = None) -> Iterator[Plan]:
    """Plans worth timing: for the machine as it is, and, where it is larger than the base, as the base would have it.

    Raises ModelError where the network does not fit the machine.
    """
    own = make_plan(network, machine, mappings=mappings)
    yield own
    for smaller in _smaller(machine):
        try:
            other = make_plan(network, machine, like=smaller, mappings=mappings)
        except ModelError:  # it does not fit the smaller one
            continue
        if other != own:
            yield other


def best_program(network: Network, machine: Machine, *, mappings: Mapping[str, Layout] | None = None) -> Timed:
    """The plan of the fewest cycles; the first of those that are equal.

    `mappings` are those of layers that are decided; default: what tuning has found for this network and machine.
    """
    decided = [{}] if mappings is None else [mappings]
    if mappings is None and (tuned := known_mappings(network, machine)):
        decided.append(tuned)
    timed = [Timed(plan, time_plan(network, machine, plan)) for m in decided for plan in plans(network, machine, m)]
    return min(timed, key=lambda t: t.run.cycles)


def time_plan(network: Network, machine: Machine, plan: Plan) -> Simulation:
    """The run of a plan, without values."""
    return simulate(emit_program(network, machine, plan, values=False), machine, verify=False)


def _smaller(machine: Machine) -> list[Machine]:
    """The base with what the machine lacks taken away, if the machine has more of anything."""
    base = parse_machine(BASE)
    side = min(base.array, machine.array)
    clipped = base.with_options(
        array=side,
        accumulators=min(base.accumulators, machine.accumulators),
        unified_buffer=f"{min(base.unified_buffer_bytes, machine.unified_buffer_bytes)}B",
        parameter_memory=f"{min(base.parameter_memory_bytes, machine.parameter_memory_bytes)}B",
        extensions="+".join(sorted(base.extensions & machine.extensions)) or "none",
    )
    figures = (
        "array",
        "accumulators",
        "unified_buffer_bytes",
        "clock_hz",
        "weight_bandwidth_bytes_per_s",
        "extensions",
    )
    if all(getattr(clipped, name) == getattr(machine, name) for name in figures):
        return []
    return [clipped]
