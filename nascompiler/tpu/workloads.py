"""The paper's six workloads as integer networks without their numbers: enough for time, made in a moment."""

from __future__ import annotations

from functools import lru_cache

from nascompiler.ir import Graph, UsageError
from nascompiler.ir.errors import unknown
from nascompiler.passes.quantization.precision import precision_of

WORKLOADS = ("mlp0", "mlp1", "lstm0", "lstm1", "cnn0", "cnn1")
"""Names in the zoo (docs/workloads.md)."""

SHARES = {"mlp0": 0.305, "mlp1": 0.305, "lstm0": 0.145, "lstm1": 0.145, "cnn0": 0.025, "cnn1": 0.025}
"""Shares of the deployed mix, from table 1 of the paper, which gives them for pairs: 61, 29 and 5 per cent, the rest
being other networks. Each pair is halved here; weighted means divide by the sum."""


def workload_structure(name: str, *, batch: int | None = None, precision: str = "int8") -> Graph:
    """The integer network of a workload, at the paper's batch size or another; constants have no values.

    `precision` is one of `passes.quantization.precision.PRECISIONS`. The graph is shared: do not change it. Raises
    UsageError for a name that is no workload.
    """
    if name not in WORKLOADS:
        raise unknown("workload", name, WORKLOADS)
    return _structure(name, batch, precision)


@lru_cache(maxsize=64)
def _structure(name: str, batch: int | None, precision: str) -> Graph:
    from nascompiler import api, zoo
    from nascompiler.passes.quantization.structure import integer_structure

    graph = zoo.load(name).clone()
    if batch is not None:
        set_batch(graph, batch)
    network = api.optimize(graph, "expand-cells{statistics=random}")
    bits = precision_of(precision)
    return integer_structure(network, bits.activations, weight_dtype=bits.weights, byte_tables=True, whole=True)


def set_batch(graph: Graph, batch: int) -> None:
    """Give the inputs of an architecture another batch: the dimension that the first of them has in front, or second
    where a sequence leads. Raises UsageError when inputs do not share one."""
    if batch < 1:
        raise UsageError(f"batch is {batch}; accepted: 1 and more")
    for value in graph.inputs:
        shape = list(value.type.static_shape)
        shape[1 if len(shape) == 3 else 0] = batch
        graph.set_type(value, value.type.with_shape(tuple(shape)))
