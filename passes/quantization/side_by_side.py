"""Evaluating a float graph and its fake-quantised form side by side, so that layers can be corrected on the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Array, Graph, ModelError, Node
from nascompiler.ir.evaluate import evaluate_node


@dataclass
class Meeting:
    """One layer in both graphs, with what it takes and gives for each sample."""

    node: Node
    """In the float graph."""
    twin: Node
    """In the fake-quantised graph."""
    operands: list[tuple[Array, ...]]
    """What the twin takes: activations, weights and bias as integers can express them."""
    exact: list[Array]
    """The result in float."""
    rough: list[Array]
    """The result of the twin; put another one here, and the layers behind take that."""


def side_by_side(
    graph: Graph, fake: Graph, layers: Collection[Node], batches: Iterable[Mapping[str, Array]]
) -> Iterator[Meeting]:
    """Stop at each of the layers of `graph`, in order; `fake` is what `insert_fake_quantization` has made of it.

    Everything that is needed for all batches is held in memory: a handful of samples it should be. Raises ModelError
    when there is none.
    """
    samples = list(batches)
    if not samples:
        raise ModelError("layers are corrected by samples, and there is none")
    pairs = zip(graph.nodes, (n for n in fake.nodes if n.op.dialect != "qnn"), strict=True)
    twins = {twin: node for node, twin in pairs}
    wanted = set(layers)
    real, rough = _Values(graph, samples), _Values(fake, samples)
    for twin in fake.nodes:
        node = twins.get(twin)
        if node is None:
            rough.keep(twin, rough.evaluate(twin))
            continue
        exact, results = real.evaluate(node), rough.evaluate(twin)
        if node in wanted:
            meeting = Meeting(node, twin, rough.operands(twin), [r[0] for r in exact], [r[0] for r in results])
            yield meeting
            results = [(array,) for array in meeting.rough]
        real.keep(node, exact)
        rough.keep(twin, results)


class _Values:
    """The values of a graph for some samples, each until its last use."""

    def __init__(self, graph: Graph, samples: Sequence[Mapping[str, Array]]) -> None:
        self.arrays = {v: [np.asarray(sample[v.name]) for sample in samples] for v in graph.inputs}
        self.count = len(samples)
        self.remaining = {v: v.use_count for v in (*graph.inputs, *(r for n in graph.nodes for r in n.results))}

    def operands(self, node: Node) -> list[tuple[Array, ...]]:
        """What a node takes, for each sample."""
        columns = [[v.constant.array] * self.count if v.constant is not None else self.arrays[v] for v in node.operands]
        return list(zip(*columns, strict=True))

    def evaluate(self, node: Node) -> list[tuple[Array, ...]]:
        """The results of a node for each sample; what depends on constants alone is computed once."""
        rows = self.operands(node)
        if all(a is b for row in rows for a, b in zip(row, rows[0], strict=True)):
            return [evaluate_node(node, list(rows[0]))] * self.count
        return [evaluate_node(node, list(row)) for row in rows]

    def keep(self, node: Node, results: list[tuple[Array, ...]]) -> None:
        """Store results as long as they have users, and drop operands that this node was the last to use."""
        for index, value in enumerate(node.results):
            if self.remaining[value]:
                self.arrays[value] = [r[index] for r in results]
        for value in node.operands:
            if value in self.remaining:
                self.remaining[value] -= 1
                if not self.remaining[value]:
                    del self.arrays[value]
