"""Scores of channels: those with the largest stay. `l2` is NetAdapt's (arXiv:1804.03230, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import UsageError
from nascompiler.ir.channels import ChannelGroup, ChannelStructure, ConstantAxis, Role
from nascompiler.ir.errors import unknown

Scores = NDArray[np.float64]
"""One number for each channel of a group."""

Criterion = Callable[[ChannelStructure, ChannelGroup], Scores]

CRITERIA: dict[str, Criterion] = {}
"""Criteria by name; scripts add theirs by `register_criterion`."""

Registered = Callable[[Criterion], Criterion]


def register_criterion(name: str) -> Registered:
    """A decorator: the function scores the channels of a group under this name. Raises UsageError for a taken name."""

    def register(function: Criterion) -> Criterion:
        if CRITERIA.setdefault(name, function) is not function:
            raise UsageError(f"there is a criterion {name!r} already; give yours another name")
        return function

    return register


def criterion(name: str) -> Criterion:
    """Raises UsageError for a name that nobody has registered."""
    if name not in CRITERIA:
        raise unknown("criterion", name, CRITERIA)
    return CRITERIA[name]


def largest(scores: Scores, count: int) -> NDArray[np.int64]:
    """The indices of the `count` largest scores in rising order; of equal ones the first."""
    return np.sort(np.argsort(-scores, kind="stable")[:count]).astype(np.int64)


@register_criterion("l2")
def filter_norms(structure: ChannelStructure, group: ChannelGroup) -> Scores:
    """The squared L2 norm of all filters that make each channel of a group, in real numbers where they are integers."""
    return _sums(structure, group, np.square)


@register_criterion("l1")
def filter_sums(structure: ChannelStructure, group: ChannelGroup) -> Scores:
    """The sum of the sizes of all weights that make each channel."""
    return _sums(structure, group, np.abs)


@register_criterion("normalized")
def normalized_filter_norms(structure: ChannelStructure, group: ChannelGroup) -> Scores:
    """`l2` of the filters as they are once the batch norms right behind them are folded: times (scale / deviation)²."""
    scores = np.zeros(group.length)
    for node in group.producers:
        own = np.zeros(group.length)
        for use in group.constants:
            if use.node is node and use.role is Role.OUTPUT:
                own += _sum(structure, group, use, np.square)
        for user in node.results[0].users:
            if user.op.name == "nn.batch_norm":
                gain, variance = (_channels(structure, group, user.operands[i]) for i in (1, 4))
                own *= np.square(gain) / (variance + user["epsilon"])
        scores += own
    return scores


def _sums(structure: ChannelStructure, group: ChannelGroup, size: Callable[[Scores], Scores]) -> Scores:
    scores = np.zeros(group.length)
    for use in group.constants:
        if use.role is Role.OUTPUT:
            scores += _sum(structure, group, use, size)
    return scores


def _sum(
    structure: ChannelStructure, group: ChannelGroup, use: ConstantAxis, size: Callable[[Scores], Scores]
) -> Scores:
    values = _real(use)
    if values is None:
        return np.zeros(group.length)
    places = structure.positions(use.value, group.index, use.axis)
    filters: Scores = size(np.moveaxis(values, use.axis, 0)[places]).reshape(group.length, -1)
    return np.asarray(filters.sum(axis=1), np.float64)


def _real(use: ConstantAxis) -> Scores | None:
    """The numbers that a constant stands for; None for those that only say how others are read."""
    assert use.value.constant is not None
    array = use.value.constant.array.astype(np.float64)
    if use.node.op.dialect != "qnn":
        return array
    scale = use.node.operands[2].array if len(use.node.operands) > 2 else None
    if scale is None or use.operand == "weight_scale":
        return None
    scale = scale.astype(np.float64)
    if use.operand == "bias":
        return array * scale * use.node["x_scale"]
    along = [1] * array.ndim
    along[use.axis] = -1
    # A transposed convolution in groups has fewer filters along the axis than scales: the groups share its places.
    return array * scale.reshape(along) if len(scale) in (1, array.shape[use.axis]) else array * scale.mean()


def _channels(structure: ChannelStructure, group: ChannelGroup, value: object) -> Scores:
    for use in group.constants:
        if use.value is value:
            assert use.value.constant is not None
            array = use.value.constant.array.astype(np.float64)
            return np.asarray(array[structure.positions(use.value, group.index, use.axis)[:, 0]], np.float64)
    return np.ones(group.length)
