"""How large the numbers of each channel are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from nascompiler.ir import Array, Graph, Value, evaluate


def channel_ranges(graph: Graph, batches: Iterable[Mapping[str, Array]]) -> dict[Value, Array]:
    """The largest magnitude of each channel, [C] of the last axis, of every float value that the graph computes.

    A dozen samples tell enough. Without samples nothing is known about any value.
    """
    found: dict[Value, Array] = {}

    def observe(value: Value, array: Array) -> None:
        if value.type.dtype.is_float and array.ndim and array.size:
            rows = array.reshape(-1, array.shape[-1])
            largest = np.maximum(rows.max(axis=0), -rows.min(axis=0))
            found[value] = np.maximum(found[value], largest) if value in found else largest

    for batch in batches:
        evaluate(graph, batch, observe=observe)
    return found
