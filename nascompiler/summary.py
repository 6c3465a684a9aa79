"""What a graph is, in figures: for `inspect`, reports and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from nascompiler.architecture import expanded
from nascompiler.ir import Graph, TensorType, graph_cost, node_cost
from nascompiler.ir.cost import parameters
from nascompiler.passes.expand_cells import arch_names


@dataclass(frozen=True)
class TensorSummary:
    """An input or output: its name, element type and shape; a dimension is a size, a name, or None when open."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class NodeSummary:
    """One node: result name, op, result type, parameters, multiply-adds and bytes (None while sizes are open).

    Of an architecture's node, the figures are those of what it expands to.
    """

    name: str
    op: str
    type: str
    params: int | None
    macs: int | None
    bytes: int | None
    origin: str


@dataclass(frozen=True)
class Summary:
    """A graph in figures.

    `params` counts weights, biases, batch-norm scale and shift; `macs` the multiply-adds of convolutions and matrix
    products, for the batch size in the shapes; `bytes` every operand and result once. None while sizes or choices are
    open. The figures and outputs of an architecture are those of its network.
    """

    name: str
    level: str
    params: int | None
    macs: int | None
    bytes: int | None
    inputs: tuple[TensorSummary, ...]
    outputs: tuple[TensorSummary, ...]
    ops: dict[str, int]
    choices: int
    nodes: tuple[NodeSummary, ...]

    def to_json(self, *, nodes: bool = False) -> dict[str, Any]:
        data = asdict(self)
        if not nodes:
            del data["nodes"]
        return data


def summarize(graph: Graph) -> Summary:
    """The figures of a graph."""
    if graph.level == "arch":
        return _of_architecture(graph)
    cost = graph_cost(graph)
    counted = {id(v.constant) for v in parameters(graph)}
    ops: dict[str, int] = {}
    nodes = []
    for number, node in enumerate(graph.nodes):
        ops[node.op.name] = ops.get(node.op.name, 0) + 1
        own = node_cost(node)
        params = 0
        for value in node.operands:
            if id(value.constant) in counted and value.constant is not None:
                counted.discard(id(value.constant))
                params += value.type.size
        first = node.results[0]
        nodes.append(
            NodeSummary(
                first.name or str(number), node.op.name, str(first.type), params, own.macs, own.bytes, node.origin
            )
        )
    return Summary(
        name=graph.name,
        level=graph.level,
        params=cost.params,
        macs=cost.macs,
        bytes=cost.bytes,
        inputs=tuple(_tensor(v.name, v.type) for v in graph.inputs),
        outputs=tuple(_tensor(n, v.type) for n, v in zip(graph.output_names, graph.outputs, strict=True)),
        ops=dict(sorted(ops.items())),
        choices=len(graph.choices),
        nodes=tuple(nodes),
    )


def _of_architecture(graph: Graph) -> Summary:
    """The nodes of an architecture with the figures of what they expand to; no figures while choices are open."""
    names = arch_names(graph)
    summary = Summary(
        name=graph.name,
        level=graph.level,
        params=None,
        macs=None,
        bytes=None,
        inputs=tuple(_tensor(v.name, v.type) for v in graph.inputs),
        outputs=tuple(_tensor(n, v.type) for n, v in zip(graph.output_names, graph.outputs, strict=True)),
        ops=dict(sorted(Counter(node.op.name for node in names).items())),
        choices=len(graph.choices),
        nodes=tuple(
            NodeSummary(name, node.op.name, str(node.results[0].type), None, None, None, node.origin)
            for node, name in names.items()
        ),
    )
    if graph.is_open:
        return summary
    network = summarize(expanded(graph))
    parts: dict[str, list[NodeSummary]] = {name: [] for name in names.values()}
    for made in network.nodes:
        if (owner := _owner(made.name, parts)) in parts:  # not so for nn nodes among arch nodes
            parts[owner].append(made)
    return replace(
        summary,
        params=network.params,
        macs=network.macs,
        bytes=network.bytes,
        outputs=network.outputs,
        nodes=tuple(_with_figures(node, parts[node.name]) for node in summary.nodes),
    )


def _owner(name: str, owners: Container[str]) -> str:
    """The arch node that a node `block3.1.add` comes from: the longest of its prefixes that is one."""
    while name not in owners and "." in name:
        name = name.rpartition(".")[0]
    return name


def _with_figures(node: NodeSummary, parts: list[NodeSummary]) -> NodeSummary:
    return replace(
        node,
        type=parts[-1].type if parts else node.type,
        params=_sum(part.params for part in parts),
        macs=_sum(part.macs for part in parts),
        bytes=_sum(part.bytes for part in parts),
    )


def _sum(figures: Iterable[int | None]) -> int | None:
    known = list(figures)
    return None if None in known else sum(figure for figure in known if figure is not None)


def _tensor(name: str, type: TensorType) -> TensorSummary:
    return TensorSummary(name, str(type.dtype), type.shape)
