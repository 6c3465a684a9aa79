"""Kernel calls as a graph, for whoever measures them one by one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.ir import Constant, Graph
from nascompiler.ir.graph import Node
from nascompiler.ir.ops import OPS
from nascompiler.ir.random_values import random_array


def call_graph(calls: Iterable[KernelCall]) -> Graph:
    """A graph with a node for each call, operands that are computed as inputs, the others as placeholders."""
    graph = Graph("calls")
    for number, call in enumerate(calls):
        operands = [
            graph.constant(Constant(type, digest=f"{number:024x}{place:08x}"))
            if place in call.constants
            else graph.add_input(f"x{number}_{place}", type)
            for place, type in enumerate(call.operands)
        ]
        made = graph.insert(OPS[call.op], operands, dict(call.attributes))
        _name(made, f"y{number}")
    graph.set_outputs({str(value.name): value for node in graph.nodes for value in node.results})
    return graph


def with_random_constants(graph: Graph) -> Graph:
    """The graph with values in place of its placeholders, the same in every process."""
    graph = graph.clone()
    for number, value in enumerate(list(graph.constants)):
        constant = value.constant
        if constant is not None and constant.is_placeholder:
            drawn = random_array(constant.type, np.random.default_rng(number))
            graph.replace_all_uses(value, graph.constant(Constant.of(drawn, constant.type)))
    return graph


def _name(node: Node, name: str) -> None:
    for place, value in enumerate(node.results):
        value.name = name if len(node.results) == 1 else f"{name}_{place}"
