"""Biases that make up for what rounding the weights does to the mean of each channel.

Rounding errors of weights do not cancel where activations are not centred (behind a relu, for one): the mean of a
channel shifts by (W_q - W) E[x], which the next layers see as a change of their inputs. Nagel et al. 2019,
arXiv:1906.04721, section 4.2, subtract it from the bias.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, DType, Graph, ModelError, Node, Value
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.ir.evaluate import evaluate_node

Wide = NDArray[np.float64]
Biases = dict[Node, NDArray[np.float32]]
"""Layer -> its bias, float32 [O]; a layer that had none gets one."""


def corrected_biases(
    scales: Mapping[Node, Array],
    means: Mapping[Value, Array],
    *,
    weights: Mapping[Node, Array] | None = None,
    dtype: DType = DType.I8,
) -> Biases:
    """The bias of each layer less (W_q - W) E[x], from the mean of each input channel: no evaluation is needed.

    `scales` are those of the weights, [O] or [1], of each layer to correct; `means` has for the operand of each layer
    the mean of each channel [C] in float, as calibration finds it; layers without it are left out. `weights` are the
    numbers that will be rounded to the grid, where they are not those of the layer. Where a kernel reaches over the
    border its operand is taken to be 0 there, and to have the same mean everywhere else.
    """
    corrected: Biases = {}
    for node, scale in scales.items():
        mean = means.get(node.operands[0])
        if mean is None:
            continue
        weight = _array(node, 1)
        chosen = weight if weights is None else weights.get(node, weight)
        change = rounded(chosen, scale, dtype).astype(np.float64) - weight
        shift = expected_result(node, change, np.asarray(mean, np.float64))
        corrected[node] = (bias_of(node) - shift).astype(np.float32)
    return corrected


def rounded(weight: Array, scale: Array, dtype: DType = DType.I8) -> NDArray[np.float32]:
    """The weights that integers at these scales, along the last axis, stand for."""
    _, greatest = arithmetic.limits(dtype)
    steps = np.clip(np.rint(np.divide(weight.astype(np.float32), np.asarray(scale, np.float32))), -greatest, greatest)
    product: NDArray[np.float32] = np.multiply(steps, np.asarray(scale, np.float32))
    return product


def expected_result(node: Node, weight: Array, mean: Wide) -> Wide:
    """The mean [O] of what a layer without bias gives, with these weights, for channels of the given means [C]."""
    groups = 1 if node.op.name == "nn.linear" else int(node["groups"])
    if node.op.name == "nn.linear":
        return mean @ weight
    share = _share_inside(node)[:, :, None, None]
    summed: Wide = (weight * share).sum(axis=(0, 1))
    if node.op.name == "nn.conv2d_transpose":  # [C, O / groups], input channels group by group
        by_group = summed.reshape(groups, -1, summed.shape[1])
        return np.einsum("gc,gco->go", mean.reshape(groups, -1), by_group).reshape(-1)
    by_group = summed.reshape(summed.shape[0], groups, -1)  # [C / groups, groups, O / groups]
    return np.einsum("gc,cgo->go", mean.reshape(groups, -1), by_group).reshape(-1)


def _share_inside(node: Node) -> Wide:
    """How often each kernel position meets the image rather than its border: [kh, kw], from 0 to 1.

    For a transposed convolution: how many elements of the image come to each result through it.
    """
    shares = []
    for axis in (0, 1):
        taps = node.operands[1].type.static_shape[axis]
        size, made = (v.type.static_shape[1 + axis] for v in (node.operands[0], node.results[0]))
        step, dilation, before = node["strides"][axis], node["dilation"][axis], node["padding"][axis]
        start = np.arange(taps)[:, None] * dilation - before
        if node.op.name == "nn.conv2d_transpose":
            reached, limit = start + np.arange(size) * step, made
        else:
            reached, limit = start + np.arange(made) * step, size
        shares.append(((reached >= 0) & (reached < limit)).sum(axis=1) / made)
    product: Wide = np.outer(*shares)
    return product


def measured_biases(
    graph: Graph, fake: Graph, layers: Collection[Node], batches: Iterable[Mapping[str, Array]]
) -> Biases:
    """The bias of each layer such that its mean result is in the fake-quantised graph what it is in the float graph.

    `fake` is what `insert_fake_quantization` has made of `graph`, with any biases. Both are evaluated side by side,
    and layer by layer the mean difference of each channel leaves the bias before the layers behind it are looked at:
    so errors of activations are made up for as well, and none is made up for twice. All batches are held in memory, so
    a handful of samples it should be.

    Raises ModelError when there is no batch.
    """
    samples = list(batches)
    if not samples:
        raise ModelError("biases are corrected by samples, and there is none")
    twins = dict(zip((n for n in fake.nodes if n.op.dialect != "qnn"), graph.nodes, strict=True))
    wanted = set(layers)
    real, rough = _Values(graph, samples), _Values(fake, samples)
    corrected: Biases = {}
    pending = iter(graph.nodes)
    for node in fake.nodes:
        results = rough.evaluate(node)
        twin = twins.get(node)
        if twin is not None:
            exact = real.evaluate(next(pending))
            if twin in wanted:
                axes = tuple(range(exact[0][0].ndim - 1))
                shifts = [
                    np.mean(a[0] - b[0], axis=axes, dtype=np.float64) for a, b in zip(results, exact, strict=True)
                ]
                shift = np.mean(shifts, axis=0)
                corrected[twin] = (bias_of(node) - shift).astype(np.float32)
                results = [(np.subtract(a[0], shift.astype(np.float32)),) for a in results]
            real.keep(twin, exact)
        rough.keep(node, results)
    return corrected


class _Values:
    """The values of a graph for some samples, each until its last use."""

    def __init__(self, graph: Graph, samples: Sequence[Mapping[str, Array]]) -> None:
        self.arrays = {v: [np.asarray(sample[v.name]) for sample in samples] for v in graph.inputs}
        self.count = len(samples)
        self.remaining = {v: v.use_count for v in (*graph.inputs, *(r for n in graph.nodes for r in n.results))}

    def evaluate(self, node: Node) -> list[tuple[Array, ...]]:
        """The results of a node for each sample; what depends on constants alone is computed once."""
        columns = [[v.constant.array] * self.count if v.constant is not None else self.arrays[v] for v in node.operands]
        if all(column[0] is other for column in columns for other in column):
            return [evaluate_node(node, [column[0] for column in columns])] * self.count
        return [evaluate_node(node, list(operands)) for operands in zip(*columns, strict=True)]

    def keep(self, node: Node, results: list[tuple[Array, ...]]) -> None:
        for index, value in enumerate(node.results):
            if self.remaining[value]:
                self.arrays[value] = [r[index] for r in results]
        for value in node.operands:
            if value in self.remaining:
                self.remaining[value] -= 1
                if not self.remaining[value]:
                    del self.arrays[value]


def bias_of(node: Node) -> Wide:
    """The bias of a layer, float64 [O]; zeros where it has none."""
    if len(node.operands) > 2:
        return _array(node, 2).astype(np.float64)
    return np.zeros(node.results[0].type.static_shape[-1])


def _array(node: Node, operand: int) -> Array:
    array = node.operands[operand].array
    if array is None:
        raise ModelError(f"{node!r}: its weights and bias must be constants whose values are loaded")
    return array
