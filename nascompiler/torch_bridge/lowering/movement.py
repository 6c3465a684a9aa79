"""The same elements elsewhere: reshaping, permuting, joining, splitting, repeating."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nascompiler.ir.dialects.nn.shape import resolve_reshape
from nascompiler.ir.graph import Node
from nascompiler.torch_bridge.lowering.registry import Family, Layout

FAMILY = Family()
Ints = tuple[int, ...]


def _any_batch(node: Node) -> dict[str, Any]:
    """A reshape that keeps the first dimension does so for batches of any size, not only the graph's own."""
    shape, source, made = node["shape"], node.operands[0].type, node.result.type
    if not shape or not source.shape or not made.is_static or shape[0] < 1 or source.shape[0] != shape[0]:
        return dict(node.attributes)
    return {"shape": (-1, *made.static_shape[1:])} if prod(made.static_shape[1:]) else dict(node.attributes)


@FAMILY.op("reshape", prepare=_any_batch)
def reshape(x: Tensor, *, shape: Ints) -> Tensor:
    sizes: Any = resolve_reshape(tuple(x.shape), shape)
    return x.reshape(sizes)


@FAMILY.op("flatten")
def flatten(x: Tensor, *, axis: int) -> Tensor:
    split = axis + x.ndim if axis < 0 else axis
    return x.reshape(prod(x.shape[:split]), prod(x.shape[split:]))


@FAMILY.op("squeeze")
def squeeze(x: Tensor, *, axes: Ints) -> Tensor:
    return x.squeeze(axes) if axes else x


@FAMILY.op("unsqueeze")
def unsqueeze(x: Tensor, *, axes: Ints) -> Tensor:
    rank = x.ndim + len(axes)
    for axis in sorted(a % rank for a in axes):
        x = x.unsqueeze(axis)
    return x


@FAMILY.op("transpose")
def transpose(x: Tensor, *, permutation: Ints) -> Tensor:
    return x.permute(permutation)


@FAMILY.op("expand")
def expand(x: Tensor, *, shape: Ints) -> Tensor:
    return x.broadcast_to(np.broadcast_shapes(tuple(x.shape), shape))


@FAMILY.op("tile")
def tile(x: Tensor, *, repeats: Ints) -> Tensor:
    return x.tile(repeats)


@FAMILY.op("concat", layout=Layout.FOLLOW)
def concat(*xs: Tensor, axis: int) -> Tensor:
    return torch.cat(xs, axis)


@FAMILY.op("split", layout=Layout.FOLLOW)
def split(x: Tensor, *, axis: int, sizes: Ints) -> tuple[Tensor, ...]:
    return tuple(torch.split(x, list(sizes), axis))


@FAMILY.op("depth_to_space")
def depth_to_space(x: Tensor, *, block: int, mode: str) -> Tensor:
    batch, height, width, channels = x.shape
    depth = channels // block**2
    if mode == "DCR":
        blocks = x.reshape(batch, height, width, block, block, depth).permute(0, 1, 3, 2, 4, 5)
    else:
        blocks = x.reshape(batch, height, width, depth, block, block).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(batch, height * block, width * block, depth)


@FAMILY.op("space_to_depth")
def space_to_depth(x: Tensor, *, block: int) -> Tensor:
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // block, block, width // block, block, channels).permute(0, 1, 3, 2, 4, 5)
    return blocks.reshape(batch, height // block, width // block, channels * block**2)
