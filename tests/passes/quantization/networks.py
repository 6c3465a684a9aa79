"""Small float networks, and all steps from them to a fake-quantised graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nascompiler.ir import Array, Graph, Node, Quantization, Value, evaluate
from nascompiler.passes.quantization.insertion import insert_fake_quantization
from nascompiler.passes.quantization.parameters import activation_quantization, weight_scales
from nascompiler.passes.quantization.plan import Plan, make_plan
from nascompiler.passes.quantization.preparation import prepare
from nascompiler.passes.quantization.ranges import Range

Inputs = Mapping[str, Array]


@dataclass
class Parameters:
    """A plan with what its numbers need."""

    plan: Plan
    activations: dict[Value, Quantization]
    weights: dict[Node, Any]

    def fake(self, **options: Any) -> Graph:
        return insert_fake_quantization(self.plan, self.activations, self.weights, **options)


def random_inputs(graph: Graph, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """Images of smooth noise, as many as asked for."""
    generator = np.random.default_rng(seed)

    def draw(value: Value) -> Array:
        coarse = generator.normal(0.2, 1, value.type.static_shape)
        return (coarse + np.roll(coarse, 1, axis=-2)).astype(np.float32)

    return [{v.name: draw(v) for v in graph.inputs} for _ in range(count)]


def observed(graph: Graph, samples: list[dict[str, Array]]) -> Iterator[tuple[Value, Array]]:
    """Every value of a graph that is no constant, for each sample."""
    for sample in samples:
        found: list[tuple[Value, Array]] = [(v, sample[v.name]) for v in graph.inputs]
        evaluate(graph, sample, observe=lambda v, a: found.append((v, a)))  # noqa: B023
        yield from found


def parameters(plan: Plan, samples: list[dict[str, Array]], *, per_channel: bool = True) -> Parameters:
    """Scales from the least and the greatest number of each group, and from the largest weight."""
    ends: dict[Value, Range] = {}
    for value, array in observed(plan.graph, samples):
        found = Range(float(array.min()), float(array.max()))
        ends[value] = ends[value].union(found) if value in ends else found
    activations = {}
    for group in plan.groups:
        known = [ends[v] if v in ends else Range(float(v.array.min()), float(v.array.max())) for v in group]
        limits = [plan.limits.get(v, (-np.inf, np.inf)) for v in group]
        whole = known[0]
        for other in known[1:]:
            whole = whole.union(other)
        for value in group:
            activations[value] = activation_quantization(
                whole.clipped(min(low for low, _ in limits), max(high for _, high in limits)), plan.values[value]
            )
    weights = {
        n: weight_scales(n.operands[1].array, (n.operands[1].type.rank or 0) - 1, per_channel=per_channel)
        for n in plan.sums
        if n.op.name != "nn.matmul"
    }
    return Parameters(plan, activations, weights)


def planned(graph: Graph, *, samples: int = 4, per_channel: bool = True, **options: Any) -> Parameters:
    """A float network prepared, planned (with `options`) and given its numbers by random inputs."""
    plan = make_plan(prepare(graph), **options)
    return parameters(plan, random_inputs(plan.graph, samples), per_channel=per_channel)


def signal_to_noise(exact: Array, rough: Array) -> float:
    """In decibels; infinite where both are the same."""
    noise = float(np.square(exact.astype(np.float64) - rough).sum())
    return float("inf") if noise == 0 else 10 * float(np.log10(np.square(exact.astype(np.float64)).sum() / noise))
