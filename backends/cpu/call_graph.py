"""Kernel calls as a graph, for whoever measures them one by one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.ir import Constant, Graph
from nascompiler.ir.graph import Node, Value
from nascompiler.ir.ops import OPS
from nascompiler.ir.random_values import random_array
from nascompiler.ir.types import Array


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
    """The graph with values in place of its placeholders, the same in every process.

    Those of integer sums are as those of networks are: which kernels suit a call depends on how large sums may be.
    """
    graph = graph.clone()
    likely = {v: array for node in graph.nodes if node.op.name in _SUMS for v, array in _likely_constants(node).items()}
    for number, value in enumerate(list(graph.constants)):
        constant = value.constant
        if constant is not None and constant.is_placeholder:
            drawn = likely.get(value)
            if drawn is None:
                drawn = random_array(constant.type, np.random.default_rng(number))
            graph.replace_all_uses(value, graph.constant(Constant.of(drawn, constant.type)))
    return graph


_SUMS = ("qnn.conv2d", "qnn.linear")

_WEIGHT, _INPUT, _RESULT, _BIAS = 32.0, 64.0, 32.0, 1000.0
"""Deviations of integers in quantised networks, about."""


def _likely_constants(node: Node) -> dict[Value, Array]:
    """Weights, their scale and the bias of a sum with which its results fill the range of bytes."""
    _, weight, scale, *bias = node.operands
    generator = np.random.default_rng(weight.type.size)
    shape, dtype = weight.type.static_shape, weight.type.dtype.numpy
    drawn = _WEIGHT * generator.standard_normal(shape)
    terms = weight.type.size / shape[-1]
    wanted = _RESULT * (1.0 if node["dtype"].is_float else node["scale"])
    factor = wanted / (node["x_scale"] * _WEIGHT * _INPUT * terms**0.5)
    made = {
        weight: (np.clip(np.rint(drawn), -127, 127) + node["weight_zero_point"]).astype(dtype),
        scale: np.full(scale.type.static_shape, factor, np.float32),
    }
    for value in bias:
        made[value] = np.rint(_BIAS * generator.standard_normal(value.type.static_shape)).astype(np.int32)
    return made


def _name(node: Node, name: str) -> None:
    for place, value in enumerate(node.results):
        value.name = name if len(node.results) == 1 else f"{name}_{place}"
