"""What is known of small tensors while importing: shape computations are done at once where their inputs are known.

A value is known fully (it is a constant, or folds to one), or in part: of a shape [N, 3, H, W] with N open, the middle
is known. Partial knowledge turns `reshape(x, [N, 200])` into the static `reshape{shape=(-1, 200)}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nascompiler.ir.graph import Node, Value
from nascompiler.ir.types import Array

FOLDED_SIZE = 1024
"""Results of more elements are left to the pass fold-constants: this is about shapes, not about weights."""

_FOLDED = frozenset(
    "add sub mul div mod minimum maximum neg abs floor ceil round sqrt equal less greater less_equal greater_equal "
    "logical_and logical_or logical_xor logical_not where cast identity concat split slice gather reshape squeeze "
    "unsqueeze transpose expand tile pad reduce_max reduce_min reduce_sum reduce_prod shape constant_of_shape range "
    "dynamic_reshape dynamic_slice dynamic_expand dynamic_tile dynamic_pad".split()
)
_MOVED = frozenset("identity slice gather concat squeeze unsqueeze reshape cast where dynamic_slice".split())

Partial = tuple[int | None, ...]


class Known:
    """Partial knowledge of 1-D and 0-D integer values, by value; constants know themselves."""

    def __init__(self) -> None:
        self._partial: dict[Value, Array] = {}

    def partial(self, value: Value) -> Partial | None:
        """The elements of a 1-D integer value, None for those not known; None when nothing is known of it."""
        elements = self._elements(value)
        if elements is None or elements.ndim != 1 or not (value.type.dtype.is_integer or value.is_constant):
            return None
        return tuple(None if e is None else int(e) for e in elements)

    def _elements(self, value: Value) -> Any:
        return value.array.astype(object) if value.array is not None else self._partial.get(value)

    def fold(self, node: Node) -> tuple[Array, ...] | None:
        """The results of a node just built when they follow from constants or known shapes, else None."""
        op = node.op.name.removeprefix("nn.")
        if op not in _FOLDED or any(not r.type.is_static or r.type.size > FOLDED_SIZE for r in node.results):
            return None
        if op == "shape":
            return self._fold_shape(node)
        arrays = [v.array for v in node.operands]
        if any(a is None for a in arrays):
            self._note_partial(node, op)
            return None
        return _evaluate(node, arrays)

    def _fold_shape(self, node: Node) -> tuple[Array, ...] | None:
        shape = node.operands[0].type.shape
        if shape is None:
            return None
        dims: list[int | None] = [d if isinstance(d, int) else None for d in shape]
        dims = dims[slice(node["start"], node["end"])]
        if None not in dims:
            return (np.array(dims, np.int64),)
        self._partial[node.result] = _objects(dims)
        return None

    def _note_partial(self, node: Node, op: str) -> None:
        """Carry partial knowledge through ops that only move elements."""
        if op not in _MOVED or not any(v in self._partial for v in node.operands):
            return
        elements = []
        for value in node.operands:
            known = self._elements(value)
            if known is None:
                if not value.type.is_static or value.type.size > FOLDED_SIZE or op == "where":
                    return
                known = np.full(value.type.static_shape, None, object)
            elements.append(known)
        if op == "cast":
            self._partial[node.result] = elements[0]
            return
        moved = _evaluate(node, elements)
        if moved is not None and moved[0].dtype == object:
            self._partial[node.result] = moved[0]


def _objects(values: Sequence[int | None]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _evaluate(node: Node, arrays: Sequence[Any]) -> tuple[Array, ...] | None:
    if node.op.evaluate is None:
        return None
    try:
        with np.errstate(all="ignore"):
            results = node.op.evaluate(*node.op.padded(tuple(arrays)), **node.attributes)
    except (ArithmeticError, ValueError, IndexError, TypeError):
        return None  # left in the graph: if it is ever run, it fails there with its name
    return tuple(map(np.asarray, results)) if isinstance(results, tuple) else (np.asarray(results),)
