"""Which nodes the TPU computes, in which region, and why the others are left to the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nascompiler.backends.errors import GateError
from nascompiler.backends.tpu.compiler.legality import VIEWS, activations_of, base_name, refusal
from nascompiler.backends.tpu.dialect import PLACED, original_name
from nascompiler.backends.tpu.machine import Machine
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.labels import node_labels

BOUNDARY = frozenset({"quantize", "dequantize"})
"""Conversions at the edge of the network: the driver's work, not the network's."""


@dataclass(frozen=True)
class Place:
    """Where a node is computed. `region` is the number of the program, None on the host."""

    region: int | None
    reason: str


def places(graph: Graph, machine: Machine) -> dict[Node, Place]:
    """Where each node is computed.

    A region is one program: whatever the machine can compute without anything from the host in between. Their numbers
    count how often results have gone back and forth before, so that no region waits for itself.
    """
    reasons = {node: refusal(node, machine) for node in graph.nodes}
    level: dict[Value, int] = dict.fromkeys(graph.inputs, 0)
    found: dict[Node, Place] = {}
    for node in graph.nodes:
        reason = reasons[node]
        before = [(v, level[v]) for v in node.operands if not v.is_constant]
        if reason is None:
            makers = [(value.producer, at) for value, at in before]
            here = max((at + (maker is None or found[maker].region is None) for maker, at in makers), default=1)
            found[node] = Place(here - 1, _why(node))
        else:
            here = max((at for _, at in before), default=0)
            found[node] = Place(None, reason)
        level.update(dict.fromkeys(node.results, here))
    return _without_empty(graph, found)


def _why(node: Node) -> str:
    name = base_name(node)
    if name in VIEWS or name == "slice":
        return "the same memory seen in another way"
    if name in ("conv2d", "linear"):
        return "products with constant weights are what the array is for"
    if name == "concat":
        return "its operands are written side by side"
    return "the activation unit computes it, and the activations stay in the Unified Buffer"


def _without_empty(graph: Graph, found: dict[Node, Place]) -> dict[Node, Place]:
    """Regions that multiply nothing go back to the host: moving their numbers to and fro is all that they would do."""
    busy = {p.region for node, p in found.items() if p.region is not None and base_name(node) in _WORTH_IT}
    numbers = {region: index for index, region in enumerate(sorted(r for r in busy if r is not None))}
    made = {}
    for node, place in found.items():
        if place.region is None:
            made[node] = place
        elif place.region in numbers:
            made[node] = Place(numbers[place.region], place.reason)
        else:
            made[node] = Place(None, "nothing around it is multiplied on the TPU: moving the numbers there is no gain")
    return made


_WORTH_IT = frozenset({"conv2d", "linear", "average_pool2d", "global_average_pool", "max_pool2d", "add", "mul"})


def assign(graph: Graph, where: Mapping[Node, Place], mappings: Mapping[str, str]) -> None:
    """Replace every node by one of the dialects `tpu` and `host`.

    `mappings` are the texts of how layers are laid out, by label.
    """
    labels = node_labels(graph)
    for node in list(graph.nodes):
        place = where[node]
        added: dict[str, object] = {"reason": place.reason}
        dialect = "host"
        if place.region is not None:
            dialect = "tpu"
            added |= {"region": place.region, "mapping": mappings.get(labels[node], "")}
        made = graph.insert(
            PLACED[dialect, node.op.name],
            node.operands,
            {**node.attributes, **added},
            before=node,
            types=[v.type for v in node.results],
            names=[v.name for v in node.results],
            origin=node.origin,
        )
        for old, new in zip(node.results, made.results, strict=True):
            graph.replace_all_uses(old, new)
        graph.erase(node)


def is_assigned(graph: Graph) -> bool:
    """Whether places have been given already."""
    return any(node.op.dialect in ("tpu", "host") for node in graph.nodes)


def regions_of(graph: Graph) -> list[list[Node]]:
    """The nodes of each region of a graph whose places are given, in order."""
    found: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op.dialect == "tpu":
            found.setdefault(node["region"], []).append(node)
    return [found[number] for number in sorted(found)]


def offload_faults(graph: Graph) -> list[str]:
    """What the host computes of the network itself, each with its reason; conversions at its edge do not count."""
    labels = node_labels(graph)
    return [
        f"{labels[node]} ({original_name(node.op)}): {node['reason']}"
        for node in graph.nodes
        if node.op.dialect == "host" and not _is_boundary(node)
    ]


def require_full_offload(graph: Graph, target: str) -> None:
    """Raise GateError that lists every node that the host computes, if it computes any."""
    faults = offload_faults(graph)
    if faults:
        listed = "".join(f"\n  {fault}" for fault in faults)
        raise GateError(f"{len(faults)} node(s) are not computed by {target}:{listed}")


def _is_boundary(node: Node) -> bool:
    """Whether a node only brings numbers to the machine or takes them from it, without computing with them."""
    name = base_name(node)
    return name in BOUNDARY or name in VIEWS | {"concat", "slice", "transpose"}


def inputs_of(nodes: list[Node]) -> list[Value]:
    """The activations that a region takes from others, in the order of their first use."""
    inside = set(nodes)
    return list(dict.fromkeys(v for n in nodes for v in activations_of(n) if v.producer not in inside))
