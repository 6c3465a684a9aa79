"""New weights for a network, to train it from scratch, as MobileNetV3 does in the end."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from nascompiler.ir import Array, Graph
from nascompiler.ir.cost import parameters
from nascompiler.ir.graph import Node, Value

_STATISTICS = {"scale": 1.0, "bias": 0.0, "mean": 0.0, "variance": 1.0}


def with_new_weights(graph: Graph, seed: int) -> Graph:
    """The network with weights drawn by He's rule (arXiv:1502.01852, fan-in), biases at 0, batch norms at rest."""
    generator = np.random.default_rng(seed)
    counted = {id(value.constant) for value in parameters(graph)}
    copy = graph.clone()
    made: dict[int, Value] = {}
    for node in list(copy.nodes):
        for index, value in enumerate(node.operands):
            declared = node.op.operand_at(index)
            if value.constant is None or declared is None or not value.type.dtype.is_float:
                continue
            at_rest = node.op.name == "nn.batch_norm"
            if not at_rest and id(value.constant) not in counted:
                continue
            key = id(value.constant)
            if key not in made:
                array = (
                    np.full(value.constant.array.shape, _STATISTICS[declared.name])
                    if at_rest
                    else _drawn(node, declared.name, value.constant.array, generator)
                )
                made[key] = copy.constant(array.astype(value.constant.array.dtype), value.name)
            copy.set_operand(node, index, made[key])
    return copy


def _drawn(node: Node, operand: str, old: Array, generator: np.random.Generator) -> Array:
    if old.ndim < 2:
        return np.zeros(old.shape)
    fan_in = prod(old.shape[:-1])
    return generator.standard_normal(old.shape) * sqrt(2 / max(fan_in, 1))
