"""Mapping search: layers laid out in other ways, one after the other, as long as the network gets faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from nascompiler.backends.tpu.compiler.best import best_program, time_plan
from nascompiler.backends.tpu.compiler.compile import make_plan
from nascompiler.backends.tpu.compiler.mapping import Figures, Shape, candidates, cost
from nascompiler.backends.tpu.compiler.mapping import Mapping as Layout
from nascompiler.backends.tpu.compiler.work import Network, SumWork
from nascompiler.backends.tpu.machine import Machine
from nascompiler.backends.tpu.simulator import Simulation
from nascompiler.backends.tpu.tuned import keep_mappings, known_mappings
from nascompiler.backends.tune import CallResult, Progress, TuningResult
from nascompiler.ir.errors import ModelError

TRIED = 6
"""Mappings of a layer that are simulated: those that should cost least."""


@dataclass
class _Layer:
    """A layer with its mappings: that of the compiler, and the best so far."""

    work: SumWork
    default: Layout
    best: Layout


def tune_network_mappings(
    networks: list[Network],
    machine: Machine,
    *,
    budget_s: float,
    again: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> TuningResult:
    """Search mappings for the regions of a network; what is found is kept and taken by the compiler from then on.

    The layers that take longest come first. A mapping is judged by the cycles of the whole region, so that a layer may
    use what its neighbours leave idle. No layer is begun after `budget_s`. With `again` the search starts from the
    compiler's own mappings instead of those that were found before.
    """
    began = time.monotonic()
    calls: list[CallResult] = []
    searched = left = known = 0
    before_cycles = after_cycles = 0
    for network in networks:
        start = best_program(network, machine, mappings={})
        found = {} if again else known_mappings(network, machine)
        known += len(found)
        chosen = {**start.plan.mappings, **found}
        current = _time(network, machine, chosen)
        if start.run.cycles <= current.cycles:
            chosen, current = dict(start.plan.mappings), start.run
        layers = _layers(network, dict(start.plan.mappings), chosen, current)
        for number, layer in enumerate(layers):
            if time.monotonic() - began >= budget_s:
                left += len(layers) - number
                break
            current = _improve(network, machine, layer, chosen, current)
            searched += 1
            spent = time.monotonic() - began
            rest = min(spent / (number + 1) * (len(layers) - number - 1), budget_s - spent)
            report(Progress(number + 1, len(layers), rest, _result(layer, machine, start.run, current)))
        if current.cycles < start.run.cycles:
            keep_mappings(
                network, machine, {label: m for label, m in chosen.items() if m != start.plan.mappings[label]}
            )
        calls += [_result(layer, machine, start.run, current) for layer in layers]
        before_cycles += start.run.cycles
        after_cycles += current.cycles
    calls.sort(key=lambda call: call.ns or 0.0, reverse=True)
    figures = {
        "kind": "simulated",
        "default_ns": 1e9 * machine.seconds(before_cycles),
        "tuned_ns": 1e9 * machine.seconds(after_cycles),
        "ratio": before_cycles / max(after_cycles, 1),
        "decided": before_cycles != after_cycles,
        "environment": {"warnings": []},
    }
    return TuningResult(str(machine), tuple(calls), searched, known, left, end_to_end=figures)


def _layers(network: Network, default: dict[str, Layout], chosen: dict[str, Layout], run: Simulation) -> list[_Layer]:
    cycles = {counters.name: counters.cycles for counters in run.layers}
    sums = [work for work in network.work if isinstance(work, SumWork)]
    sums.sort(key=lambda work: cycles.get(work.label, 0), reverse=True)
    return [_Layer(work, default[work.label], chosen[work.label]) for work in sums]


def _improve(
    network: Network, machine: Machine, layer: _Layer, chosen: dict[str, Layout], current: Simulation
) -> Simulation:
    """Try other mappings for a layer; `chosen` gets the best, whose run is the result."""
    figures, shape = Figures.of(machine), Shape.of(layer.work)
    images = layer.work.write.geometry.images
    options = sorted(candidates(shape, figures), key=lambda m: cost(shape, m, figures, images).total)[:TRIED]
    for option in options:
        if option == chosen[layer.work.label]:
            continue
        run = _time(network, machine, {**chosen, layer.work.label: option})
        if run.cycles < current.cycles:
            chosen[layer.work.label] = layer.best = option
            current = run
    return current


def _time(network: Network, machine: Machine, mappings: dict[str, Layout]) -> Simulation:
    try:
        return time_plan(network, machine, make_plan(network, machine, mappings=mappings))
    except ModelError as error:  # the default plan fitted, and mappings take no room in the Unified Buffer
        raise AssertionError(str(error)) from error


def _result(layer: _Layer, machine: Machine, before: Simulation, after: Simulation) -> CallResult:
    """The layer's part of the region's time, before and after."""

    def part(run: Simulation) -> float:
        return 1e9 * machine.seconds(sum(c.cycles for c in run.layers if c.name == layer.work.label))

    first, last = part(before), part(after)
    gain = first / last if last else 1.0
    label, op = layer.work.label, layer.work.node.op.name
    return CallResult(label, op, (label,), str(layer.default), str(layer.best), first, last, gain)
