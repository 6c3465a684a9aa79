"""Normalisation: batch, layer, group, instance."""

from __future__ import annotations

from typing import Any

import numpy as np

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.errors import Refusal
from nascompiler.torch_bridge.importing.conversion import Conversion
from nascompiler.torch_bridge.importing.converters.registry import Family

FAMILY = Family()


@FAMILY.op("batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "native_batch_norm")
def batch_norm(c: Conversion) -> tuple[Any, ...]:
    """Channels are axis 1; images are normalised as NHWC, next to the convolutions."""
    if c.boolean("training"):
        raise Refusal("it normalises by the batch: export the module in eval mode")
    x = c.value("input")
    channels = c.dim(x, 1)
    parameters = [_or_filled(c, "weight", channels, 1), _or_filled(c, "bias", channels, 0)]
    parameters += [c.value("running_mean"), c.value("running_var")]
    epsilon = c.number("eps", "epsilon")
    rank = c.rank(x)
    if rank in (3, 4):
        image = c.image(x, rank - 2)
        return c.from_image(c.op("batch_norm", image, *parameters, axis=-1, epsilon=epsilon), rank - 2), None, None
    return c.op("batch_norm", x, *parameters, axis=1, epsilon=epsilon), None, None


def _or_filled(c: Conversion, name: str, size: int, value: float) -> Value:
    given = c.optional(name)
    return c.constant(np.full(size, value), c.dtype) if given is None else given


@FAMILY.op("layer_norm", "native_layer_norm")
def layer_norm(c: Conversion) -> tuple[Any, ...]:
    x = c.value("input")
    axis = c.rank(x) - len(c.sizes("normalized_shape"))
    scale, bias = c.optional("weight"), c.optional("bias")
    result = c.op("layer_norm", x, scale, bias if scale is not None else None, axis=axis, epsilon=c.number("eps"))
    if scale is None and bias is not None:
        result = c.op("add", result, bias)
    return result, None, None


@FAMILY.op("group_norm", "native_group_norm")
def group_norm(c: Conversion) -> tuple[Any, ...]:
    """Groups of channels as rows (arXiv:1803.08494)."""
    x = c.value("input")
    groups, channels = c.integer("num_groups", "group"), c.dim(x, 1)
    sizes = c.sizes_of(x)
    rows = c.reshape(x, (sizes[0], groups, -1 if isinstance(sizes[0], int) else _row(c, x, groups)))
    normal = c.reshape(c.op("layer_norm", rows, axis=2, epsilon=c.number("eps")), sizes)
    for op, name in (("mul", "weight"), ("add", "bias")):
        given = c.optional(name)
        if given is not None:
            normal = c.op(op, normal, c.reshape(given, (channels, *(1,) * (c.rank(x) - 2))))
    return normal, None, None


def _row(c: Conversion, x: Value, groups: int) -> int:
    return int(np.prod([c.dim(x, axis) for axis in range(1, c.rank(x))])) // groups


@FAMILY.op("instance_norm")
def instance_norm(c: Conversion) -> Value:
    if not c.boolean("use_input_stats"):
        raise Refusal("running statistics are not supported")
    x = c.value("input")
    spatial, channels = c.rank(x) - 2, c.dim(x, 1)
    scale, bias = _or_filled(c, "weight", channels, 1), _or_filled(c, "bias", channels, 0)
    return c.from_image(c.op("instance_norm", c.image(x, spatial), scale, bias, epsilon=c.number("eps")), spatial)
