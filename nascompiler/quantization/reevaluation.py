"""Evaluating one graph again and again, computing only what a change reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from nascompiler.ir import Array, Graph, Node, Value
from nascompiler.ir.evaluate import evaluate_node

Values = dict[Value, Array]


class Reevaluation:
    """Evaluates a graph as `ir.evaluate` does. What depends on constants alone is computed once, here.

    `outputs` are the values to give as outputs, by name, those of the graph unless given.
    """

    def __init__(self, graph: Graph, outputs: Mapping[str, Value] | None = None) -> None:
        self.graph = graph
        self._wanted = dict(outputs or zip(graph.output_names, graph.outputs, strict=True))
        self._fixed: Values = {}
        self._nodes: list[Node] = []
        for node in graph.nodes:
            if node.operands and all(v.is_constant or v in self._fixed for v in node.operands):
                results = evaluate_node(node, [self.array(v, {}) for v in node.operands])
                self._fixed.update(zip(node.results, results, strict=True))
            else:
                self._nodes.append(node)

    def array(self, value: Value, values: Mapping[Value, Array]) -> Array:
        """The array of a value: of a constant and what is made of constants, or as `values` has it."""
        if value.constant is not None:
            return value.constant.array
        return self._fixed[value] if value in self._fixed else values[value]

    def values(self, inputs: Mapping[str, Array]) -> Values:
        """Every value that the inputs, by name, decide: memory for all of them at once."""
        values: Values = {v: np.asarray(inputs[v.name]) for v in self.graph.inputs}
        for node in self._nodes:
            results = evaluate_node(node, [self.array(v, values) for v in node.operands])
            values.update(zip(node.results, results, strict=True))
        return values

    def observe(self, inputs: Mapping[str, Array], look: Callable[[Value, Array], None]) -> None:
        """Call `look` for every input and result in order; arrays are dropped after their last use."""
        values: Values = {v: np.asarray(inputs[v.name]) for v in self.graph.inputs}
        remaining = {v: v.use_count for n in self._nodes for v in n.results}
        for value, array in values.items():
            look(value, array)
        for node in self._nodes:
            results = evaluate_node(node, [self.array(v, values) for v in node.operands])
            for value, array in zip(node.results, results, strict=True):
                look(value, array)
                values[value] = array
            for value in node.operands:
                if value in remaining:
                    remaining[value] -= 1
                    if not remaining[value]:
                        del values[value]

    def outputs(self, values: Mapping[Value, Array]) -> dict[str, Array]:
        """The outputs by name among all values."""
        return {name: self.array(value, values) for name, value in self._wanted.items()}

    def outputs_with(self, values: Mapping[Value, Array], changed: Mapping[Value, Array]) -> dict[str, Array]:
        """The outputs by name if some of the `values` were as in `changed`: only what depends on those is computed."""
        new: Values = dict(changed)
        kept = set(self._wanted.values())
        remaining: dict[Value, int] = {v: v.use_count for v in new if v not in kept}
        for node in self._nodes:
            if not any(v in new for v in node.operands):
                continue
            if not all(v in new for v in node.results):
                operands = [new[v] if v in new else self.array(v, values) for v in node.operands]
                for value, array in zip(node.results, evaluate_node(node, operands), strict=True):
                    if value not in new:
                        new[value] = array
                        if value not in kept:
                            remaining[value] = value.use_count
            for value in node.operands:
                if value in remaining:
                    remaining[value] -= 1
                    if not remaining[value]:
                        del new[value]
        return {n: new[v] if v in new else self.array(v, values) for n, v in self._wanted.items()}
