"""What a kernel call computes, by the ops that define it, as one TVM function: what a schedule is searched for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import te, topi

from nascompiler.backends.cpu.placement import is_view
from nascompiler.backends.tvm_adapter.leftovers import has_rule, tables_of, tensors_of
from nascompiler.backends.tvm_adapter.leftovers.expressions import scalar, shape_of
from nascompiler.ir.builder import Builder
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.types import Array, TensorType
from nascompiler.passes.fuse_activations import detach_activations


def graph_of(node: Node) -> Graph:
    """A graph of nothing but the node: inputs x0, x1, ... for operands that are computed, outputs y0, y1, ..."""
    graph = Graph("call")
    operands = [
        graph.constant(value.constant) if value.constant is not None else graph.add_input(f"x{i}", value.type)
        for i, value in enumerate(node.operands)
    ]
    made = graph.insert(node.op, operands, node.attributes)
    graph.set_outputs({f"y{i}": value for i, value in enumerate(made.results)})
    return graph


@dataclass(frozen=True)
class Definition:
    """A call as a graph of ops that TVM has rules for.

    `operands` are those of the call that are computed, by index, in the order of the graph's inputs; `constants` the
    arrays that the function takes behind them: constants of more than one element, and the tables of rules.
    """

    graph: Graph
    operands: tuple[int, ...]
    constants: tuple[Array, ...]

    @classmethod
    def of(cls, node: Node) -> Definition | None:
        """The definition of the call that a node makes; None when TVM lacks a rule for a part of it."""
        graph = graph_of(node)
        detach_activations(graph)
        while composite := [n for n in graph.nodes if not has_rule(n)]:
            for part in composite:
                if part.op.decompose is None:
                    return None
                builder = Builder(graph, before=part, origin=part.origin)
                made = part.op.decompose(builder, *part.op.padded(part.operands), **part.attributes)
                for old, new in zip(part.results, made if isinstance(made, tuple) else (made,), strict=True):
                    graph.replace_all_uses(old, new)
                graph.erase(part)
        operands = tuple(i for i, value in enumerate(node.operands) if value.constant is None)
        constants = [v.constant.array for n in graph.nodes for v in n.operands if v.constant and v.type.size != 1]
        constants += [table for n in graph.nodes for table in tables_of(n)]
        return cls(graph, operands, tuple(constants))

    @property
    def text(self) -> str:
        """What the function depends on beside the call: constants in its code, and the types of those it takes."""
        operands = [v for node in self.graph.nodes for v in node.operands if v.constant is not None]
        singles = [v.constant.array.tolist() for v in operands if v.type.size == 1 and v.constant is not None]
        return repr((singles, [str(TensorType.of(array)) for array in self.constants]))

    def function(self) -> Any:
        """The PrimFunc (operands, constants, results), not scheduled."""
        inputs = [placeholder(value.type, f"x{i}") for i, value in enumerate(self.graph.inputs)]
        constants = [placeholder(TensorType.of(array), f"w{i}") for i, array in enumerate(self.constants)]
        tensors = dict(zip(self.graph.inputs, inputs, strict=True))
        weights = iter(constants)
        operands: dict[Node, list[Any]] = {}
        for node in self.graph.nodes:
            operands[node] = list(node.operands)
            for index, value in enumerate(node.operands):
                if value.constant is not None:
                    single = value.type.size == 1
                    operands[node][index] = scalar(value.constant.array) if single else next(weights)
        for node in self.graph.nodes:
            given = [tensors[v] if isinstance(v, Value) else v for v in operands[node]]
            given += [next(weights) for _ in tables_of(node)]
            if is_view(node):
                results = [topi.reshape(given[0], shape_of(node.result.type.static_shape))]
            else:
                results = tensors_of(node, given)
            tensors.update(zip(node.results, results, strict=True))
        outputs = [tensors[value] for value in self.graph.outputs]
        return te.create_prim_func([*inputs, *constants, *outputs])


def placeholder(type: TensorType, name: str) -> Any:
    """An input of a tensor expression."""
    return te.placeholder(shape_of(type.static_shape), str(type.dtype.numpy), name=name)
