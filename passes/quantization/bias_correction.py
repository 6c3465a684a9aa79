"""Biases that make up for what rounding the weights does to the mean of each channel.

Rounding errors of weights do not cancel where activations are not centred (behind a relu, for one): the mean of a
channel shifts by (W_q - W) E[x], which the next layers see as a change of their inputs. Nagel et al. 2019,
arXiv:1906.04721, section 4.2, subtract it from the bias.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, DType, Graph, ModelError, Node, Value
from nascompiler.ir.dialects.qnn import arithmetic
from nascompiler.passes.quantization.side_by_side import side_by_side

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
        change = np.subtract(rounded(chosen, scale, dtype), weight, dtype=np.float64)
        shift = expected_result(node, change, np.asarray(mean, np.float64))
        corrected[node] = (bias_of(node) - shift).astype(np.float32)
    return corrected


def rounded(weight: Array, scale: Array, dtype: DType = DType.I8) -> NDArray[np.float32]:
    """The weights that integers at these scales, along the last axis, stand for."""
    _, greatest = arithmetic.limits(dtype)
    steps = np.clip(np.rint(np.divide(weight.astype(np.float32), np.asarray(scale, np.float32))), -greatest, greatest)
    product: NDArray[np.float32] = np.multiply(steps, np.asarray(scale, np.float32))
    return product


def expected_result(node: Node, weight: Wide, mean: Wide) -> Wide:
    """The mean [O] of what a layer without bias gives, with these weights, for channels of the given means [C]."""
    groups = 1 if node.op.name == "nn.linear" else int(node["groups"])
    if node.op.name == "nn.linear":
        product: Wide = np.matmul(mean, weight)
        return product
    share = _share_inside(node)[:, :, None, None]
    summed: Wide = (weight * share).sum(axis=(0, 1))
    if node.op.name == "nn.conv2d_transpose":  # [C, O / groups], input channels group by group
        by_group = summed.reshape(groups, -1, summed.shape[1])
        return np.asarray(np.einsum("gc,gco->go", mean.reshape(groups, -1), by_group)).reshape(-1)
    by_group = summed.reshape(summed.shape[0], groups, -1)  # [C / groups, groups, O / groups]
    return np.asarray(np.einsum("gc,cgo->go", mean.reshape(groups, -1), by_group)).reshape(-1)


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
    corrected: Biases = {}
    for layer in side_by_side(graph, fake, layers, batches):
        axes = tuple(range(layer.exact[0].ndim - 1))
        pairs = zip(layer.rough, layer.exact, strict=True)
        shift = np.mean([np.subtract(a, b, dtype=np.float64).mean(axis=axes) for a, b in pairs], axis=0)
        corrected[layer.node] = (bias_of(layer.twin) - shift).astype(np.float32)
        layer.rough = [np.subtract(a, shift.astype(np.float32)) for a in layer.rough]
    return corrected


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
