"""What a network takes: latencies by the measuring interface, and sizes; and what it would take with fewer channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nascompiler.ir import Graph, graph_cost
from nascompiler.ir.channel_edit import without_channels
from nascompiler.ir.channels import ChannelStructure
from nascompiler.netadapt.budgets import SIZES
from nascompiler.search.interfaces import Counts, LatencySource, Narrowing
from nascompiler.search.trial import TrialSpec


class Resource(Protocol):
    """One of the things that a network has a budget of."""

    def of(self, graph: Graph) -> float:
        """What a network takes; raises TrialFailure where that cannot be found out."""
        ...

    def narrowing(self, structure: ChannelStructure) -> Narrowing:
        """What the structure's graph takes with fewer channels."""
        ...


class LatencyOf:
    """The latency on a target, ns, as a source of latencies tells it."""

    def __init__(self, source: LatencySource) -> None:
        self._source = source

    def of(self, graph: Graph) -> float:
        return self._source.latency(TrialSpec(0, (), graph, 0)).ns

    def narrowing(self, structure: ChannelStructure) -> Narrowing:
        """By the source's own way where it has one, else each variant is a network of its own to it."""
        offered = getattr(self._source, "narrowing", None)
        found: Narrowing | None = None if offered is None else offered(structure)
        return Whole(structure, self) if found is None else found


class SizeOf:
    """Parameters or multiply-adds."""

    def __init__(self, name: str) -> None:
        self._name = name

    def of(self, graph: Graph) -> float:
        cost = graph_cost(graph)
        return float(cost.params if self._name == "params" else cost.macs or 0)

    def narrowing(self, structure: ChannelStructure) -> Narrowing:
        return Whole(structure, self)


class Whole:
    """Makes the network of every variant and asks about it; each variant once."""

    def __init__(self, structure: ChannelStructure, resource: Resource) -> None:
        self._structure, self._resource = structure, resource
        self._known: dict[tuple[tuple[int, int], ...], float] = {}

    def amounts(self, variants: Sequence[Counts]) -> list[float]:
        return [self._of(counts) for counts in variants]

    def _of(self, counts: Counts) -> float:
        key = tuple(sorted(counts.items()))
        if key not in self._known:
            # Which channels stay makes no difference to what the network takes.
            keep = {group: range(count) for group, count in counts.items()}
            self._known[key] = self._resource.of(without_channels(self._structure, keep))
        return self._known[key]


def resources_of(names: Sequence[str], sources: Mapping[str, LatencySource]) -> dict[str, Resource]:
    """The resources by name: sizes, and latencies on targets of which there is a source."""
    return {name: SizeOf(name) if name in SIZES else LatencyOf(sources[name]) for name in names}
