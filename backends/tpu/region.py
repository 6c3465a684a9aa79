"""A region as one node of the host's graph, and the host's graph that is left when regions are taken out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from nascompiler.backends.tpu.compiler.network import build_network
from nascompiler.backends.tpu.compiler.work import Network
from nascompiler.backends.tpu.dialect import original_attributes, original_name
from nascompiler.backends.tpu.placement import inputs_of, regions_of
from nascompiler.ir.attributes import integer, string
from nascompiler.ir.evaluate import evaluate
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.labels import node_labels
from nascompiler.ir.ops import OpDef, Operand, register_op
from nascompiler.ir.text import print_graph
from nascompiler.ir.types import Array, TensorType

SYMBOL = "tpu_region_"
"""How the names of programs begin; the rest is a hash of what they compute."""


@dataclass(frozen=True)
class Region:
    """A part of a network that is one program.

    `graph` has the nodes as they were before they were placed, inputs x0, x1, ..., outputs y0, y1, ...; `network` the
    steps that the compiler takes. `symbol` names the program.
    """

    symbol: str
    graph: Graph
    network: Network
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    labels: tuple[str, ...]
    ops: tuple[str, ...]


_REGIONS: dict[str, Graph] = {}
"""What the nodes `tpu.region` of this process compute, by the program's name."""


def _infer(*operands: TensorType, program: str, results: int) -> tuple[TensorType, ...]:
    return tuple(v.type for v in _REGIONS[program].outputs)


def _evaluate(*operands: Array, program: str, results: int) -> tuple[Array, ...]:
    graph = _REGIONS[program]
    return tuple(evaluate(graph, {v.name: a for v, a in zip(graph.inputs, operands, strict=True)}).values())


register_op(
    OpDef(
        name="tpu.region",
        summary="The results of a region of the network, computed by the TPU's program of that name.",
        operands=(Operand("x", variadic=True),),
        attributes=(string("program"), integer("results", minimum=1)),
        infer=_infer,
        evaluate=_evaluate,
        results=lambda attributes: int(str(attributes["results"])),
    )
)


def extract(graph: Graph, machine: str) -> list[Region]:
    """The regions of a graph whose nodes have places; programs for another `machine` have another name."""
    labels = node_labels(graph)
    found = []
    for number, nodes in enumerate(regions_of(graph)):
        inside = set(nodes)
        inputs = inputs_of(nodes)
        network = build_network(f"{graph.name}.{number}", nodes, labels)
        outputs = [v for n in nodes for v in n.results if v.is_output or any(u not in inside for u in v.users)]
        part = _subgraph(f"region{number}", nodes, inputs, outputs)
        digest = hashlib.sha256(f"{machine}\n{print_graph(part)}".encode()).hexdigest()[:16]
        symbol = f"{SYMBOL}{number}_{digest}"
        _REGIONS[symbol] = part
        ops = tuple(original_name(n.op) for n in nodes)
        found.append(Region(symbol, part, network, tuple(inputs), tuple(outputs), tuple(labels[n] for n in nodes), ops))
    return found


def host_graph(graph: Graph, regions: Sequence[Region]) -> Graph:
    """The graph with each region as one node, and what is left to the host as it was before places were given."""
    made = Graph(graph.name)
    made.attributes = dict(graph.attributes)
    values: dict[Value, Value] = {v: made.add_input(v.name, v.type) for v in graph.inputs}
    level: dict[Value, int] = dict.fromkeys(graph.inputs, 0)
    by_level: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.op.dialect == "tpu":
            level.update(dict.fromkeys(node.results, node["region"] + 1))
        else:
            here = max((level[v] for v in node.operands if not v.is_constant), default=0)
            by_level.setdefault(here, []).append(node)
            level.update(dict.fromkeys(node.results, here))
    for number in range(max([len(regions), *by_level]) + 1):
        if number:
            _insert_region(made, regions[number - 1], values)
        for node in by_level.get(number, []):
            _insert_copy(made, node, values)
    outputs = {name: _value(made, v, values) for name, v in zip(graph.output_names, graph.outputs, strict=True)}
    made.set_outputs(outputs)
    return made


def _value(graph: Graph, value: Value, values: dict[Value, Value]) -> Value:
    if value not in values and value.constant is not None:
        values[value] = graph.constant(value.constant, value.name)
    return values[value]


def _insert_region(graph: Graph, region: Region, values: dict[Value, Value]) -> None:
    types = [v.type for v in region.outputs]
    made = graph.insert(
        "tpu.region",
        [values[v] for v in region.inputs],
        {"program": region.symbol, "results": len(types)},
        types=types,
        names=[v.name for v in region.outputs],
    )
    values.update(zip(region.outputs, made.results, strict=True))


def _insert_copy(graph: Graph, node: Node, values: dict[Value, Value]) -> None:
    placed = node.op.dialect in ("tpu", "host")
    made = graph.insert(
        original_name(node.op) if placed else node.op,
        [_value(graph, v, values) for v in node.operands],
        original_attributes(dict(node.attributes)) if placed else node.attributes,
        types=[v.type for v in node.results],
        names=[v.name for v in node.results],
        origin=node.origin,
    )
    values.update(zip(node.results, made.results, strict=True))


def _subgraph(name: str, nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    graph = Graph(name)
    values = {v: graph.add_input(f"x{i}", v.type) for i, v in enumerate(inputs)}
    for node in nodes:
        _insert_copy(graph, node, values)
    graph.set_outputs({f"y{i}": values[v] for i, v in enumerate(outputs)})
    return graph
