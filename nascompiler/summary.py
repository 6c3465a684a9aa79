"""What a graph is, in figures: for `inspect`, reports and tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nascompiler.ir import Graph, TensorType, graph_cost, node_cost
from nascompiler.ir.cost import parameters


@dataclass(frozen=True)
class TensorSummary:
    """An input or output: its name, element type and shape; a dimension is a size, a name, or None when open."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class NodeSummary:
    """One node: result name, op, result type, parameters, multiply-adds and bytes (None while sizes are open)."""

    name: str
    op: str
    type: str
    params: int
    macs: int | None
    bytes: int | None
    origin: str


@dataclass(frozen=True)
class Summary:
    """A graph in figures.

    `params` counts weights, biases, batch-norm scale and shift; `macs` the multiply-adds of convolutions and matrix
    products, for the batch size in the shapes; `bytes` every operand and result once. None while sizes are open.
    """

    name: str
    level: str
    params: int
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


def _tensor(name: str, type: TensorType) -> TensorSummary:
    return TensorSummary(name, str(type.dtype), type.shape)
