"""Weights rounded up or down so that what a layer gives stays, not each weight by itself.

Nagel et al. 2020, arXiv:2004.10568 (AdaRound): of the two grid points around each weight the one is chosen that, with
all others of the layer, changes the layer's result least on samples. Choices are relaxed to h(V) from 0 to 1, a
rectified sigmoid, and pushed to its ends by a regulariser that hardens as the optimisation goes on (equations 21 to
24). The squared change of a layer's result is a quadratic form of the changes of its weights (equation 20), made of the
second moments of its inputs: with these, a step costs the same however many samples there are. In the end single
choices are turned over as long as that helps, so that on the samples the result is never worse than rounding to the
nearest. Unlike in the paper, each layer is optimised on its inputs in float: with 8-bit activations, whose errors a
layer cannot make up for, that measured better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, DType, Graph, ModelError, Node, Value, evaluate
from nascompiler.ir.dialects.nn.windows import padded, patches
from nascompiler.ir.dialects.qnn.arithmetic import limits

Wide = NDArray[np.float64]
Single = NDArray[np.float32]

LOW, HIGH = -0.1, 1.1
"""The rectified sigmoid is clip(sigmoid(V) * (HIGH - LOW) + LOW, 0, 1)."""
REGULARISATION = 1.0
"""In units in which turning over a choice costs about 1; the paper's 0.01 is in units of the results."""
HARDENING = (20.0, 2.0)
"""The exponent of the regulariser, at its beginning and at the end."""
WARM_UP = 0.2
"""The share of the steps without the regulariser."""
LEARNING_RATE = 0.05
RIDGE = 0.01
"""The share of the mean square that is added to that of each input: it counts changes of weights where samples are
too few to tell."""
ROWS_PER_SAMPLE = 256
FEWEST_STEPS = 20
MOST_WORK = 5e10
"""Multiply-adds of the relaxation of one layer at most, about two seconds: large layers get fewer steps, or none."""


def adaptive_rounding(
    graph: Graph,
    scales: Mapping[Node, Array],
    batches: Iterable[Mapping[str, Array]],
    *,
    seed: int = 0,
    steps: int = 200,
    dtype: DType = DType.I8,
    progress: Callable[[int], None] | None = None,
) -> dict[Node, Single]:
    """Weights of each layer in `scales` that lie on the grid of its scales [O] or [1], chosen by samples.

    They are given as numbers, scale * integer, in the shape of the layer's weights. Biases stay what they are: see
    `bias_correction.corrected_biases`. Transposed convolutions are left out. A few dozen samples are enough; of each,
    windows at random positions are looked at. The same seed and samples give the same weights. `progress` is called
    with the number of layers done. Raises ModelError when there is no sample.
    """
    layers = [node for node in scales if node.op.name != "nn.conv2d_transpose"]
    seen = {node: _Moments(node) for node in layers}
    takers: dict[Value, list[_Moments]] = {}
    for node in layers:
        takers.setdefault(node.operands[0], []).append(seen[node])
    samples = 0
    for batch in batches:
        generator = np.random.default_rng([seed, samples])

        def observe(value: Value, array: Array) -> None:
            for moments in takers.get(value, ()):
                moments.add(array, generator)  # noqa: B023  # called in this iteration alone

        for value in graph.inputs:
            observe(value, np.asarray(batch[value.name]))
        evaluate(graph, batch, observe=observe)
        samples += 1
    if not samples:
        raise ModelError("rounding is chosen by samples, and there is none")
    chosen = {}
    for number, node in enumerate(layers):
        chosen[node] = _round_layer(node, seen.pop(node), np.asarray(scales[node], np.float64), steps, dtype)
        if progress is not None:
            progress(number + 1)
    return chosen


class _Moments:
    """The mean products [G, K, K] of the numbers in a window that a layer takes, for each of its G groups."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.groups = 1 if node.op.name == "nn.linear" else int(node["groups"])
        depth = int(np.prod(node.operands[1].type.static_shape[:-1]))
        self.products = np.zeros((self.groups, depth, depth), np.float32)
        self.count = 0

    def add(self, x: Array, generator: np.random.Generator) -> None:
        """Take in windows at random positions of what the layer takes."""
        if self.node.op.name == "nn.linear":
            windows = x
        else:
            kernel = self.node.operands[1].type.static_shape
            image = padded(x, self.node["padding"])
            windows = patches(image, (kernel[0], kernel[1]), self.node["strides"], self.node["dilation"])
        positions = windows.shape[: 1 if windows.ndim == 2 else -1 if self.node.op.name == "nn.linear" else 3]
        total = int(np.prod(positions))
        chosen = np.sort(generator.choice(total, min(total, ROWS_PER_SAMPLE), replace=False))
        rows = windows[np.unravel_index(chosen, positions)].astype(np.float32)
        by_group = rows.reshape(len(rows), -1, self.groups, rows.shape[-1] // self.groups).transpose(2, 0, 1, 3)
        matrix = by_group.reshape(self.groups, len(rows), -1)
        self.products += np.matmul(matrix.transpose(0, 2, 1), matrix)
        self.count += len(rows)

    def normalised(self) -> Wide:
        """In units of the mean square of all numbers, and with the ridge."""
        found = self.products.astype(np.float64) / self.count
        square = np.einsum("gkk->gk", found).mean(axis=1)
        square = np.where(square > 0, square, 1.0)[:, None, None]
        return found / square + RIDGE * np.eye(found.shape[1])


def _round_layer(node: Node, seen: _Moments, scale: Wide, steps: int, dtype: DType) -> Single:
    weight = node.operands[1].array
    assert weight is not None
    step = np.broadcast_to(scale, (weight.shape[-1],)).reshape(seen.groups, 1, -1)
    matrices = weight.astype(np.float64).reshape(-1, seen.groups, weight.shape[-1] // seen.groups).transpose(1, 0, 2)
    integers = choose(seen.normalised(), matrices / step, steps, limits(dtype)[1])
    rounded: Single = (integers * step).transpose(1, 0, 2).reshape(weight.shape).astype(np.float32)
    return rounded


def choose(moments: Wide, weight: Wide, steps: int, greatest: int) -> Wide:
    """Integers, each next to its weight, for weights [G, K, O] in units of their steps and inputs of these second
    moments [G, K, K].

    What is made small is d' A d for each output channel, A the moments and d the changes of its weights.
    """
    form = _Form(moments, weight)
    below = np.clip(np.floor(weight), -greatest, greatest - 1)
    best = _turned_over(form, np.clip(np.rint(weight), below, below + 1), below)
    count = int(min(steps, MOST_WORK / max(float(moments.size) * weight.shape[2], 1.0)))
    if count >= FEWEST_STEPS:
        other = _turned_over(form, below + _relaxed(form, below, count), below)
        best = np.where((form.value(other) < form.value(best))[:, None, :], other, best)
    return best


@dataclass(frozen=True)
class _Form:
    moments: Wide
    weight: Wide

    def gradient(self, integers: Wide) -> Wide:
        """Half the gradient: A d."""
        gradient: Wide = np.matmul(self.moments, integers - self.weight)
        return gradient

    def value(self, integers: Wide) -> Wide:
        """[G, O]."""
        value: Wide = np.einsum("gko,gko->go", integers - self.weight, self.gradient(integers))
        return value


def _relaxed(form: _Form, below: Wide, steps: int) -> Wide:
    """The choices, 0 or 1, by Adam on V, which begins where h(V) is the weight itself."""
    moments, over = form.moments.astype(np.float32), (form.weight - below).astype(np.float32)
    spread = np.float32(HIGH - LOW)
    start = np.clip((np.clip(over, 0, 1) - LOW) / (HIGH - LOW), 1e-4, 1 - 1e-4)
    v = np.log(start / (1 - start)).astype(np.float32)
    first, second = np.zeros_like(v), np.zeros_like(v)
    warm = int(WARM_UP * steps)
    for step in range(steps):
        sigmoid = 1 / (1 + np.exp(-v))
        h = np.clip(sigmoid * spread + np.float32(LOW), 0, 1)
        gradient = 2 * np.matmul(moments, h - over)
        if step >= warm:
            done = (step - warm) / (steps - warm)
            beta = HARDENING[1] + (HARDENING[0] - HARDENING[1]) * (1 + np.cos(np.pi * done)) / 2
            centred = 2 * h - 1
            gradient -= (
                np.float32(2 * REGULARISATION * beta) * np.sign(centred) * np.abs(centred) ** np.float32(beta - 1)
            )
        gradient *= np.where((h > 0) & (h < 1), sigmoid * (1 - sigmoid) * spread, np.float32(0))
        first = np.float32(0.9) * first + np.float32(0.1) * gradient
        second = np.float32(0.999) * second + np.float32(0.001) * gradient**2
        rate = np.float32(LEARNING_RATE * np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1)))
        v -= rate * first / (np.sqrt(second) + np.float32(1e-12))
    chosen: Wide = (v >= 0).astype(np.float64)  # where h(V) is at least 1/2
    return chosen


def _turned_over(form: _Form, integers: Wide, below: Wide, sweeps: int = 4) -> Wide:
    """Single choices turned over, input by input, where that makes the form smaller; never worse than before."""
    chosen = integers.copy()
    residual = form.gradient(chosen)
    for _ in range(sweeps):
        turned = 0
        for k in range(chosen.shape[1]):
            change = 1 - 2 * (chosen[:, k] - below[:, k])  # up from below, down from above
            gain = 2 * change * residual[:, k] + form.moments[:, k, k, None]
            change = np.where(gain < 0, change, 0.0)
            turned += int(np.count_nonzero(change))
            chosen[:, k] += change
            residual += form.moments[:, :, k, None] * change[:, None, :]
        if not turned:
            break
    return chosen
