"""The same network for several samples at once, where it allows that: NumPy then spends less time on small layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from nascompiler.ir import Array, Graph, ModelError, evaluate, infer_all
from nascompiler.ir.random_values import random_array

LARGEST_VALUE = 1 << 21
"""Elements that the largest value of a batch should not exceed: more does not stay in the caches."""

MOST = 32


def fitting_batch(graph: Graph) -> int:
    """How many samples are worth evaluating at once: as many as keep the largest value small."""
    sizes = [v.type.size for n in graph.nodes for v in n.results if v.type.is_static]
    return max(1, min(MOST, LARGEST_VALUE // max(sizes, default=1)))


def rebatched(graph: Graph, size: int) -> Graph | None:
    """The graph for `size` times as many samples along the first axis of every input and output, or None.

    Only where every first axis is 1 now, and where results for two random samples are those for each by itself: a
    network may well mix the samples of a batch, or hold their number in places that are not known here.
    """
    ends = [v.type for v in (*graph.inputs, *graph.outputs)]
    if size < 2 or not graph.inputs or any(not t.is_static or not t.rank or t.shape[0] != 1 for t in ends if t.shape):
        return None
    if any(t.shape == () for t in ends):
        return None
    double = _with_batch(graph, 2)
    if double is None or not _separate(graph, double):
        return None
    return _with_batch(graph, size)


def _with_batch(graph: Graph, size: int) -> Graph | None:
    copy = graph.clone()
    for value in copy.inputs:
        copy.set_type(value, value.type.with_shape((size, *value.type.static_shape[1:])))
    for node in copy.nodes:
        shape = node.attributes.get("shape")
        if node.op.name == "nn.reshape" and isinstance(shape, tuple) and shape[:1] == (1,):
            copy.set_attributes(node, shape=(size, *shape[1:]))
    try:
        infer_all(copy)
    except ModelError:
        return None
    fits = all(v.type.is_static and v.type.static_shape[:1] == (size,) for v in copy.outputs)
    return copy if fits else None


def _separate(single: Graph, double: Graph) -> bool:
    generator = np.random.default_rng(0)
    samples = [{v.name: random_array(v.type, generator) for v in single.inputs} for _ in range(2)]
    together = {v.name: np.concatenate([s[v.name] for s in samples]) for v in single.inputs}
    try:
        found = evaluate(double, together)
    except ModelError:
        return False
    for number, sample in enumerate(samples):
        for name, array in evaluate(single, sample).items():
            part = found[name][number : number + 1]
            limit = 1e-4 * max(float(np.abs(array).max(initial=0)), 1e-6) if array.dtype.kind == "f" else 0
            if part.shape != array.shape or not np.allclose(part, array, rtol=0, atol=limit, equal_nan=True):
                return False
    return True


def stacked(samples: Iterable[Mapping[str, Array]], size: int) -> Iterator[dict[str, Array]]:
    """Samples joined along their first axis, `size` of them at a time; the last batch may be smaller."""
    waiting: list[Mapping[str, Array]] = []
    for sample in samples:
        waiting.append(sample)
        if len(waiting) == size:
            yield _joined(waiting)
            waiting = []
    if waiting:
        yield _joined(waiting)


def _joined(samples: list[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]}
