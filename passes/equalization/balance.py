"""By how much to scale each channel.

Each tensor is quantised at one scale for all its channels, each output channel of a weight at one scale for all its
inputs. So a channel of small numbers loses digits in the tensor, and a channel with small weights behind it in these.
Scaling a channel by s makes its numbers s times as large and its weights 1 / s times: with s = sqrt(w / a), where a is
the largest number of the channel and w the largest weight behind it, both have the largest magnitude sqrt(a w) (Nagel
et al. 2019, arXiv:1906.04721, section 4.1, with the weights in front of the channel for its numbers; Xiao et al. 2023,
arXiv:2211.10438, equation 4, with the numbers themselves).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Array, Node, Value
from nascompiler.passes.equalization.classes import ScaleClasses
from nascompiler.passes.equalization.layers import Layer, is_depthwise

Wide = NDArray[np.float64]

SETTLED = 0.01
"""Sweeps end when no channel is scaled by more than this share any more."""
MOST_SWEEPS = 40
LARGEST_STEP = 1e4
"""No channel is scaled further than so from the others of its class: beyond lie dead channels."""


def balanced(found: ScaleClasses, ranges: Mapping[Value, Array] | None = None) -> list[Wide]:
    """A scale for each channel [length] of each class, 1 where it is fixed or nothing can be gained.

    `ranges` has the largest magnitude of each channel, [C] of the last axis, of values, as observed; without it the
    weights of the layers that make a channel stand for its numbers. Classes are balanced in turn until all are.
    """
    layers = {node: Layer(node) for c in found.classes for node in (*c.makers, *c.takers)}
    scales = [np.ones(c.length) for c in found.classes]
    open_classes = [i for i, c in enumerate(found.classes) if not c.fixed and c.makers and c.takers]
    observed = {i: _largest(found, i, ranges) for i in open_classes} if ranges is not None else {}
    for _ in range(MOST_SWEEPS):
        largest_step = 0.0
        for index in open_classes:
            numbers = observed[index] * scales[index] if ranges is not None else _made(found, index, layers, scales)
            step = _step(numbers, _taken(found, index, layers, scales))
            scales[index] = scales[index] * step
            largest_step = max(largest_step, float(np.abs(np.log(step)).max(initial=0)))
        if largest_step < SETTLED:
            break
    return scales


def _step(numbers: Wide, weights: Wide | None) -> Wide:
    """What brings the numbers of each channel and the weights behind it to one magnitude."""
    ratio = 1 / np.maximum(numbers, 1e-300) if weights is None else weights / np.maximum(numbers, 1e-300)
    alive = numbers > 0 if weights is None else (numbers > 0) & (weights > 0)
    if not alive.any():
        return np.ones_like(numbers)
    step = np.where(alive, ratio if weights is None else np.sqrt(ratio), 1.0)
    middle = float(np.exp(np.log(step[alive]).mean()))
    step = np.where(alive, step / middle, 1.0)
    return np.clip(step, 1 / LARGEST_STEP, LARGEST_STEP)


def _made(found: ScaleClasses, index: int, layers: Mapping[Node, Layer], scales: list[Wide]) -> Wide:
    """The largest weight in front of each channel."""
    largest = np.zeros(found.classes[index].length)
    for node in found.classes[index].makers:
        before, after = found.along(node.operands[0], scales), found.along(node.results[0], scales)
        for other, numbers in found.gathered(node.results[0], layers[node].by_output(before, after)):
            if other == index:
                np.maximum(largest, numbers, out=largest)
    return largest


def _taken(found: ScaleClasses, index: int, layers: Mapping[Node, Layer], scales: list[Wide]) -> Wide | None:
    """The largest weight behind each channel; None where only depthwise layers follow, whose channels are apart."""
    largest = np.zeros(found.classes[index].length)
    summed = [node for node in found.classes[index].takers if not is_depthwise(node)]
    for node in summed:
        before, after = found.along(node.operands[0], scales), found.along(node.results[0], scales)
        for other, numbers in found.gathered(node.operands[0], layers[node].by_input(before, after)):
            if other == index:
                np.maximum(largest, numbers, out=largest)
    return largest if summed else None


def _largest(found: ScaleClasses, index: int, ranges: Mapping[Value, Array]) -> Wide:
    """The largest magnitude of each channel in all values of a class that have been observed."""
    largest = np.zeros(found.classes[index].length)
    for value in found.classes[index].values:
        if value in ranges:
            for other, numbers in found.gathered(value, np.asarray(ranges[value], np.float64)):
                if other == index:
                    np.maximum(largest, numbers, out=largest)
    return largest
