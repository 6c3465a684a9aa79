"""Cycles of a network on a TPU from its structure alone: no weights, no values, no TVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nascompiler.backends.measure.latency import Kind, Latency, LayerTime
from nascompiler.backends.tpu.compiler.best import best_program
from nascompiler.backends.tpu.compiler.mapping import Mapping as Layout
from nascompiler.backends.tpu.compiler.network import build_network
from nascompiler.backends.tpu.compiler.work import Network
from nascompiler.backends.tpu.machine import Machine, parse_machine
from nascompiler.backends.tpu.placement import places
from nascompiler.backends.tpu.report import combined_counters
from nascompiler.backends.tpu.simulator import Counters, Simulation
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.labels import node_labels


@dataclass(frozen=True)
class NetworkTiming:
    """The runs of a network's regions, in order, and what is left to the host, by label, with the reason."""

    machine: Machine
    runs: tuple[Simulation, ...]
    host: Mapping[str, str]

    @property
    def cycles(self) -> int:
        """Of all regions, transfers to and from the host included; the host's own work is not."""
        return sum(run.cycles for run in self.runs)

    @property
    def total(self) -> Counters:
        """The counters of all regions together."""
        return combined_counters(self.runs)

    @property
    def latency(self) -> Latency:
        """The simulated latency, with a row for each layer."""
        machine = self.machine
        layers = tuple(
            LayerTime(c.name, "tpu", 1e9 * machine.seconds(c.cycles), c.useful_macs, c.dram_bytes)
            for run in self.runs
            for c in run.layers
        )
        return Latency(Kind.SIMULATED, [1e9 * machine.seconds(self.cycles)], layers=layers)


def time_network(graph: Graph, machine: Machine | str, mappings: Mapping[str, Layout] | None = None) -> NetworkTiming:
    """Time a quantised network, by the least of the plans that the compiler considers.

    `mappings` are those of layers that are decided. Raises ModelError for a network that does not fit.
    """
    chosen = parse_machine(machine)
    networks, host = networks_of(graph, chosen)
    runs = [best_program(network, chosen, mappings=mappings).run for network in networks]
    return NetworkTiming(chosen, tuple(runs), host)


def networks_of(graph: Graph, machine: Machine) -> tuple[list[Network], dict[str, str]]:
    """The regions of a network as the compiler takes them, and what is left to the host, by label, with the reason."""
    where = places(graph, machine)
    labels = node_labels(graph)
    found: dict[int, list[Node]] = {}
    for node, place in where.items():
        if place.region is not None:
            found.setdefault(place.region, []).append(node)
    networks = [build_network(f"{graph.name}.{n}", nodes, labels) for n, nodes in sorted(found.items())]
    return networks, {labels[node]: place.reason for node, place in where.items() if place.region is None}
