"""The latency of a network from what is known of its kernel calls, without running or compiling it."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.backends.compile import default_pipeline
from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.cpu.placement import is_view
from nascompiler.backends.measure.kernels import PROGRAM_START
from nascompiler.backends.measure.latency import Kind, Latency, LayerTime
from nascompiler.backends.store import Measurements, Row, Tuning, known_measurements
from nascompiler.backends.target import Target, parse_target
from nascompiler.ir.analyses import peak_activation_bytes
from nascompiler.ir.cost import NodeCost, node_cost
from nascompiler.ir.graph import Graph, Node
from nascompiler.ir.labels import node_labels
from nascompiler.passes.infrastructure.manager import run_pipeline


@dataclass(frozen=True)
class Prediction:
    """The sum of what is known, layer by layer.

    `missing` are the calls of which nothing is known, by their keys, with the nodes that make them: the latency is too
    small by what they take. `older` counts the layers that were measured with earlier kernels, `shipped` those measured
    for the base that ships: on another machine of the same kind.
    """

    latency: Latency
    missing: dict[str, tuple[str, ...]]
    older: int
    shipped: int


def predict(graph: Graph, target: Target | str, known: Measurements | None = None) -> Prediction:
    """The latency of a network on one thread by what is `known`: the overlay and the base unless given.

    Kernels are assigned by the default pipeline unless the graph has them already. Where all weights and activations
    stay in the second-level cache from run to run, rows count as they were measured with weights from there. What TVM
    fuses is taken for the sum of its parts. Beside the calls there is the start of the program, where it was measured.
    A sum of estimates is an estimate.
    """
    chosen = parse_target(target)
    if not any(node.op.dialect == "cpu" for node in graph.nodes):
        graph = run_pipeline(graph, default_pipeline(chosen))
    calls = timed_calls(graph)
    known = known_measurements() if known is None else known
    tunings = known.tunings(calls, chosen.timing_fingerprint)
    labels = node_labels(graph)
    rows = {key: known_row(KernelCall.of(nodes[0]), chosen, tunings.get(key)) for key, nodes in calls.items()}
    warm = stays_in_cache(graph, chosen)
    layers = []
    for key, nodes in calls.items():
        row = rows[key]
        if row is not None:
            ns = row.ns(warm=warm)
            costs = [(node, node_cost(node)) for node in nodes]
            layers += [layer_time(labels[n], n.op.name, row, c, ns) for n, c in costs]
    known_nodes = [(tunings[key], len(nodes)) for key, nodes in calls.items() if rows[key] is not None]
    return Prediction(
        latency=Latency(
            Kind.ESTIMATED if chosen.is_emulated else Kind.PREDICTED,
            [sum(layer.ns for layer in layers) + start_ns(known, chosen)],
            layers=tuple(layers),
        ),
        missing={key: tuple(labels[n] for n in nodes) for key, nodes in calls.items() if rows[key] is None},
        older=sum(count for tuning, count in known_nodes if not tuning.fresh),
        shipped=sum(count for tuning, count in known_nodes if tuning.shipped),
    )


def start_ns(known: Measurements, target: Target) -> float:
    """What it takes to start a program, 0 where that was not measured."""
    tuning = known.tunings([PROGRAM_START], target.timing_fingerprint).get(PROGRAM_START)
    return tuning.rows[0].median_ns if tuning is not None else 0.0


def stays_in_cache(graph: Graph, target: Target) -> bool:
    """Whether the weights and the activations that live at the same time fit into the second-level cache together."""
    constants = {value for node in graph.nodes for value in node.operands if value.is_constant}
    needed = sum(value.type.bytes for value in constants) + (peak_activation_bytes(graph) or 0)
    return needed <= target.host.l2_bytes


def layer_time(name: str, op: str, row: Row, cost: NodeCost, ns: float | None = None) -> LayerTime:
    """The time of a node by the row of the variant that computes it, its median unless given."""
    compute, memory = row.cycles.get("compute"), row.cycles.get("memory")
    return LayerTime(
        name,
        op,
        row.median_ns if ns is None else ns,
        cost.macs or 0,
        cost.bytes or 0,
        kernel=row.variant,
        compute_cycles=compute,
        memory_cycles=memory,
    )


def timed_calls(graph: Graph) -> dict[str, list[Node]]:
    """The nodes that take time, by the key of the call that they make."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if not is_view(node) and all(value.type.size for value in (*node.operands, *node.results)):
            found.setdefault(KernelCall.of(node).key, []).append(node)
    return found


def known_row(call: KernelCall, target: Target, tuning: Tuning | None) -> Row | None:
    """The row of the variant that would compute the call, or None when none was measured."""
    if tuning is None:
        return None
    available = variants(call, target, tuning)
    return tuning.best(available, next(iter(available)))
