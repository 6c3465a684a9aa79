"""How ops compute on operands whose axes are stored in another order.

A permutation p relates a value to its `base`, the same elements in the other order, as `nn.transpose` does: axis i of
the value is axis p[i] of the base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nascompiler.ir import Array, Node, TensorType, Trait, Value
from nascompiler.ir.types import Dim

Permutation = tuple[int, ...]
Shape = tuple[Dim, ...]


def identity(rank: int) -> Permutation:
    return tuple(range(rank))


def inverse(permutation: Permutation) -> Permutation:
    return tuple(sorted(range(len(permutation)), key=permutation.__getitem__))


def compose(first: Permutation, second: Permutation) -> Permutation:
    """The permutation of a transpose by `first` followed by one by `second`."""
    return tuple(first[axis] for axis in second)


def keeps_order(shape: Sequence[Dim], permutation: Permutation) -> bool:
    """Whether a transpose of a value of this shape moves only axes of size 1, so that it is a reshape."""
    moved = [axis for axis in permutation if shape[axis] != 1]
    return moved == sorted(moved)


def reshape_sizes(shape: Iterable[Dim]) -> tuple[int, ...] | None:
    """The `shape` attribute of a reshape to this shape, None when more than one size is open."""
    sizes = tuple(d if isinstance(d, int) else -1 for d in shape)
    return None if sizes.count(-1) > 1 else sizes


@dataclass(frozen=True)
class Relaid:
    """A node on base operands: its op and attributes there, and the permutation of each of its results."""

    op: str
    attributes: Mapping[str, Any]
    results: tuple[Permutation, ...]


def layout_operands(node: Node) -> tuple[int, ...]:
    """The operands that must be in one layout for the node to compute in it."""
    if node.op.has(Trait.ELEMENTWISE) or node.op.name == "nn.concat":
        return tuple(range(len(node.operands)))
    return (0,) if node.operands else ()


def relay(node: Node, permutation: Permutation) -> Relaid | None:
    """The node on the bases of its `layout_operands`, all permuted alike; None when it depends on their order."""
    if node.op.has(Trait.ELEMENTWISE):
        if node.result.type.rank != len(permutation):
            return None
        return Relaid(node.op.name, node.attributes, (permutation,))
    rule = _RULES.get(node.op.name)
    return None if rule is None else rule(node, permutation)


def _axis(node: Node, p: Permutation) -> Relaid:
    """Ops along one axis; the last one stays -1 where that is the default."""
    axis = p[node["axis"]]
    declared = node.op.attribute("axis")
    if declared is not None and declared.default == -1 and axis == len(p) - 1:
        axis = -1
    return Relaid(node.op.name, {**node.attributes, "axis": axis}, (p,) * len(node.results))


def _slice(node: Node, p: Permutation) -> Relaid:
    return Relaid(node.op.name, {**node.attributes, "axes": tuple(p[a] for a in node["axes"])}, (p,))


def _each_axis(*names: str) -> Callable[[Node, Permutation], Relaid]:
    """Ops with one entry of an attribute for each axis."""

    def rule(node: Node, p: Permutation) -> Relaid:
        back = inverse(p)
        changed = {name: tuple(node[name][axis] for axis in back) for name in names}
        return Relaid(node.op.name, {**node.attributes, **changed}, (p,))

    return rule


def _expand(node: Node, p: Permutation) -> Relaid | None:
    shape = node["shape"]
    if len(shape) > len(p):
        return None
    aligned = (1,) * (len(p) - len(shape)) + shape
    return Relaid(node.op.name, {"shape": tuple(aligned[axis] for axis in inverse(p))}, (p,))


def _without(p: Permutation, dropped: Iterable[int]) -> Permutation:
    """The permutation that is left when the base loses the axes `dropped`."""
    gone = set(dropped)
    return _ranks([axis for axis in p if axis not in gone])


def _ranks(axes: Sequence[Any]) -> Permutation:
    """The place of each entry in sorted order."""
    place = {axis: i for i, axis in enumerate(sorted(axes))}
    return tuple(place[axis] for axis in axes)


def _reduce(node: Node, p: Permutation) -> Relaid:
    axes = tuple(sorted(p[a] for a in node["axes"]))
    return Relaid(node.op.name, {**node.attributes, "axes": axes}, (p if node["keepdims"] else _without(p, axes),))


def _argument(node: Node, p: Permutation) -> Relaid:
    axis = p[node["axis"]]
    return Relaid(node.op.name, {**node.attributes, "axis": axis}, (p if node["keepdims"] else _without(p, [axis]),))


def _gather(node: Node, p: Permutation) -> Relaid | None:
    rank = node.operands[1].type.rank
    if rank not in (0, 1):
        return None
    axis = p[node["axis"]]
    return Relaid(node.op.name, {"axis": axis}, (p if rank == 1 else _without(p, [axis]),))


def _layer_norm(node: Node, p: Permutation) -> Relaid | None:
    """Only where the normalised axes are the last ones in the base as well."""
    first = node["axis"] % len(p)
    return None if p[first:] != identity(len(p))[first:] else Relaid(node.op.name, node.attributes, (p,))


def _squeeze(node: Node, p: Permutation) -> Relaid:
    axes = tuple(sorted(p[a] for a in node["axes"]))
    return Relaid(node.op.name, {"axes": axes}, (_without(p, axes),))


def _unsqueeze(node: Node, p: Permutation) -> Relaid:
    rank = len(p) + len(node["axes"])
    added = {axis % rank for axis in node["axes"]}
    kept = iter(p)
    result = _with_units([None if axis in added else next(kept) for axis in range(rank)])
    return Relaid(node.op.name, {"axes": tuple(sorted(result[axis] for axis in added))}, (result,))


def _with_units(axes: Sequence[int | None]) -> Permutation:
    """The permutation of a value whose axes lie in the base as given, None being an axis of size 1 to be placed there.

    At the front it stays there; elsewhere it goes before the axis that follows it in the value, at the end after the
    one before it: [N, C, 1, W] over [N, W, C] gives [N, 1, W, C].
    """
    places: list[tuple[int, int, int]] = []
    for i, axis in enumerate(axes):
        preceding = next((a for a in reversed(axes[:i]) if a is not None), None)
        following = next((a for a in axes[i:] if a is not None), None)
        if axis is not None:
            places.append((axis, 1, i))
        elif preceding is None:
            places.append((-1, 0, i))
        elif following is not None:
            places.append((following, 0, i))
        else:
            places.append((preceding, 2, i))
    return _ranks(places)


@dataclass(frozen=True)
class _Group:
    """Axes of size other than 1 that a reshape turns into others, without regard to the rest."""

    source: tuple[int, ...]
    target: tuple[int, ...]


def _groups(source: Shape, target: Shape) -> list[_Group] | None:
    """The finest groups of a reshape; None when open sizes hide them, or there are no elements."""
    if 0 in source or 0 in target:
        return None
    left = [a for a, d in enumerate(source) if d != 1]
    right = [a for a, d in enumerate(target) if d != 1]
    anonymous = sum(d is None for d in source), sum(d is None for d in target)
    groups = []
    i = j = 0
    while i < len(left) or j < len(right):
        if i == len(left) or j == len(right):
            return None
        a, b = source[left[i]], target[right[j]]
        if not isinstance(a, int) or not isinstance(b, int):
            if a != b or (a is None and anonymous != (1, 1)):
                return None
            groups.append(_Group((left[i],), (right[j],)))
            i, j = i + 1, j + 1
            continue
        from_, to = [left[i]], [right[j]]
        i, j = i + 1, j + 1
        while a != b:
            axes, shape, at = (from_, source, left[i : i + 1]) if a < b else (to, target, right[j : j + 1])
            size = shape[at[0]] if at else None
            if not isinstance(size, int):
                return None
            axes.append(at[0])
            if a < b:
                a, i = a * size, i + 1
            else:
                b, j = b * size, j + 1
        groups.append(_Group(tuple(from_), tuple(to)))
    return groups


def _contiguous(axes: Iterable[int], present: Sequence[int]) -> bool:
    """Whether axes of the base follow each other, axes of size 1 left out."""
    places = [present.index(axis) for axis in axes]
    return places == list(range(places[0], places[0] + len(places)))


def _reshape(node: Node, p: Permutation) -> Relaid | None:
    """Where each group of axes that is merged or split together lies together in the base, in the same order."""
    source, target = node.operands[0].type.shape, node.result.type.shape
    if source is None or target is None:
        return None
    if keeps_order([source[axis] for axis in inverse(p)], p):
        if node.op.name == "nn.flatten" and _flattens_alike(source, p, node["axis"]):
            return Relaid("nn.flatten", node.attributes, (identity(2),))
        sizes = reshape_sizes(target)
        return None if sizes is None else Relaid("nn.reshape", {"shape": sizes}, (identity(len(target)),))
    groups = _groups(source, target)
    if groups is None:
        return None
    present = [axis for axis, i in enumerate(inverse(p)) if source[i] != 1]
    if not all(_contiguous([p[a] for a in group.source], present) for group in groups):
        return None
    return _regroup(groups, p, target)


def _flattens_alike(source: Shape, p: Permutation, axis: int) -> bool:
    """Whether the base has the same columns after the same axis."""
    axis = axis + len(p) if axis < 0 else axis
    before = {p[a] for a in range(axis) if source[a] != 1}
    return before == {b for b, a in enumerate(inverse(p)) if b < axis and source[a] != 1}


def _regroup(groups: Sequence[_Group], p: Permutation, target: Shape) -> Relaid | None:
    """The reshape with its groups in the order of the base."""
    axes: list[int | None] = [None] * len(target)
    place = 0
    for group in sorted(groups, key=lambda g: min(p[a] for a in g.source)):
        for axis in group.target:
            axes[axis] = place
            place += 1
    result = _with_units(axes)
    sizes = reshape_sizes(target[axis] for axis in inverse(result))
    return None if sizes is None else Relaid("nn.reshape", {"shape": sizes}, (result,))


@dataclass(frozen=True)
class ScrambledReshape:
    """A reshape of the base whose last axis holds the columns in another order: column i is column `order[i]`."""

    shape: tuple[int, ...]
    order: Array


def scrambled_reshape(node: Node, p: Permutation) -> ScrambledReshape | None:
    """The reshape or flatten on the base, when only the order inside its last axis differs, e.g. NCHW to [N, CHW]."""
    if node.op.name not in ("nn.reshape", "nn.flatten"):
        return None
    source, target = node.operands[0].type.shape, node.result.type.shape
    groups = _groups(source, target) if source is not None and target is not None else None
    if not groups or source is None or target is None or groups[-1].target != (len(target) - 1,):
        return None
    *others, last = groups
    present = [axis for axis, i in enumerate(inverse(p)) if source[i] != 1]
    dims = tuple(d for d in (source[a] for a in last.source) if isinstance(d, int))
    sizes = reshape_sizes(target)
    if len(dims) != len(last.source) or sizes is None:
        return None
    ordered = [p[a] for group in others for a in group.source] + sorted(p[a] for a in last.source)
    if ordered != present:
        return None
    columns = np.arange(prod(dims)).reshape(dims).transpose(inverse(_ranks([p[a] for a in last.source])))
    return ScrambledReshape(sizes, columns.reshape(-1))


def _per_axis(node: Node, p: Permutation) -> Relaid:
    return Relaid(node.op.name, {**node.attributes, "axis": p[node["axis"]]}, (p,))


def _lookup(node: Node, p: Permutation) -> Relaid:
    return Relaid(node.op.name, node.attributes, (p,))


_RULES: dict[str, Callable[[Node, Permutation], Relaid | None]] = {
    **dict.fromkeys(["nn.concat", "nn.split", "nn.batch_norm", "nn.softmax", "nn.log_softmax"], _axis),
    **{f"nn.reduce_{name}": _reduce for name in ("mean", "max", "min", "sum", "prod")},
    "nn.argmax": _argument,
    "nn.argmin": _argument,
    "nn.slice": _slice,
    "nn.pad": _each_axis("before", "after"),
    "nn.tile": _each_axis("repeats"),
    "nn.expand": _expand,
    "nn.gather": _gather,
    "nn.layer_norm": _layer_norm,
    "nn.squeeze": _squeeze,
    "nn.unsqueeze": _unsqueeze,
    "nn.reshape": _reshape,
    "nn.flatten": _reshape,
    "qnn.lookup": _lookup,
    "qnn.quantize_per_axis": _per_axis,
    "qnn.dequantize_per_axis": _per_axis,
}


def aligned_shape(type: TensorType, rank: int) -> Shape | None:
    """The shape with axes of size 1 in front up to `rank`; None when its rank is unknown or larger."""
    if type.shape is None or len(type.shape) > rank:
        return None
    return (1,) * (rank - len(type.shape)) + type.shape


def permuted_constant(array: Array, permutation: Permutation, *, keep_rank: bool) -> Array:
    """The base of a constant operand, which broadcasts to the rank of `permutation`.

    Unless `keep_rank`, axes of size 1 in front are left out: [C, 1, 1] under NHWC becomes [C].
    """
    if array.size == 1 and not keep_rank:
        return array
    aligned = array.reshape((1,) * (len(permutation) - array.ndim) + array.shape).transpose(inverse(permutation))
    if not keep_rank:
        while aligned.ndim > 1 and aligned.shape[0] == 1:
            aligned = aligned[0]
    return np.ascontiguousarray(aligned)


def is_single(value: Value) -> bool:
    """Whether every axis has size 1, so that the value broadcasts in any layout."""
    return value.type.shape is not None and all(d == 1 for d in value.type.shape)
