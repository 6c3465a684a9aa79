"""Weights for a network from another that was trained: what the two have in common is not learnt again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nascompiler.ir import Array, Graph
from nascompiler.ir.cost import parameters


@dataclass(frozen=True)
class Inherited:
    """The graph with the weights that it took over, and which part of its parameters these are, 0 to 1."""

    graph: Graph
    share: float


def inherit(graph: Graph, parent: Graph) -> Inherited:
    """The graph with the weights of the parent's constants of the same names, statistics of batch norms included.

    Where sizes differ the common part is taken: the first channels of both, the middles of kernels (their leading two
    axes, height and width). Everything else keeps the weights it has.
    """
    given = _constants(parent)
    copy = graph.clone()
    counted = {id(value.constant) for value in parameters(copy)}
    taken = total = 0
    for node in list(copy.nodes):
        for index, value in enumerate(node.operands):
            if value.constant is None or not value.type.dtype.is_float:
                continue
            source = given.get(value.name)
            counts = id(value.constant) in counted
            total += value.type.size if counts else 0
            if source is None or len(source.shape) != len(value.type.shape or ()):
                continue
            array = np.array(value.constant.array)
            common = _take(array, source)
            taken += common if counts else 0
            copy.set_operand(node, index, copy.constant(array, value.name))
    return Inherited(copy, taken / total if total else 0.0)


def _constants(graph: Graph) -> dict[str, Array]:
    return {
        value.name: value.constant.array
        for node in graph.nodes
        for value in node.operands
        if value.constant is not None and value.type.dtype.is_float
    }


def _take(array: Array, source: Array) -> int:
    """Overwrite the part of the array that the source has too; returns how many elements that are."""
    own, other = [], []
    for axis, (here, there) in enumerate(zip(array.shape, source.shape, strict=True)):
        common = min(here, there)
        centred = array.ndim == 4 and axis < 2
        begin = ((here - common) // 2, (there - common) // 2) if centred else (0, 0)
        own.append(slice(begin[0], begin[0] + common))
        other.append(slice(begin[1], begin[1] + common))
    part = source[tuple(other)]
    array[tuple(own)] = part
    return int(part.size)
