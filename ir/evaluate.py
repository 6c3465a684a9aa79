"""Reference evaluation in NumPy: the meaning of every op, slow and right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from nascompiler.ir.builder import Builder
from nascompiler.ir.errors import ModelError
from nascompiler.ir.graph import Graph, Node, Value
from nascompiler.ir.ops import OpDef
from nascompiler.ir.types import Array, TensorType

Observer = Callable[[Value, Array], None]


def evaluate(graph: Graph, inputs: Mapping[str, Array], *, observe: Observer | None = None) -> dict[str, Array]:
    """The graph's outputs by name for the given inputs by name.

    `observe(value, array)` is called for every value that a node makes. Arrays are dropped after their last use.
    Raises ModelError for missing, unknown or ill-typed inputs, for open graphs and for constants without values.
    """
    values = _checked_inputs(graph, inputs)
    remaining = {v: v.use_count for n in graph.nodes for v in n.results}
    for node in graph.nodes:
        operands = [v.constant.array if v.constant is not None else values[v] for v in node.operands]
        for value, array in zip(node.results, evaluate_node(node, operands), strict=True):
            if remaining[value]:
                values[value] = array
            if observe is not None:
                observe(value, array)
        for value in node.operands:
            if value in remaining:
                remaining[value] -= 1
                if remaining[value] == 0:
                    del values[value]
    outputs = zip(graph.output_names, graph.outputs, strict=True)
    return {name: v.constant.array if v.constant is not None else values[v] for name, v in outputs}


def evaluate_node(node: Node, operands: list[Array]) -> tuple[Array, ...]:
    """The results of one node for given operand arrays; raises ModelError naming the node when it cannot be done."""
    if node.op.is_open(node.attributes):
        raise ModelError(f"{node!r} waits for a choice; close it with decide before evaluating")
    try:
        with np.errstate(all="ignore"):
            return evaluate_op(node.op, operands, node.attributes)
    except ModelError as error:
        raise ModelError(f"{node!r}: {error}") from None
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{node!r} cannot be evaluated: {error}") from error


def evaluate_op(op: OpDef, operands: list[Array], attributes: Mapping[str, Any]) -> tuple[Array, ...]:
    """The results of an op for operand arrays and complete attributes; composites by their decomposition."""
    if op.evaluate is not None:
        result = op.evaluate(*op.padded(tuple(operands)), **attributes)
        results = result if isinstance(result, tuple) else (result,)
        return tuple(np.asarray(r) for r in results)
    if op.decompose is None:
        raise ModelError(f"{op.name} has no reference evaluation; expand it first")
    graph = decomposition(op, tuple(map(TensorType.of, operands)), tuple(attributes.items()))
    return tuple(evaluate(graph, {v.name: a for v, a in zip(graph.inputs, operands, strict=True)}).values())


@lru_cache(maxsize=256)
def decomposition(op: OpDef, operands: tuple[TensorType, ...], attributes: tuple[tuple[str, Any], ...]) -> Graph:
    """The graph that defines a composite op for operands of these types."""
    assert op.decompose is not None
    builder = Builder(op.name)
    values = tuple(builder.input(f"x{i}", t) for i, t in enumerate(operands))
    result = op.decompose(builder, *op.padded(values), **dict(attributes))
    results = result if isinstance(result, tuple) else (result,)
    return builder.outputs(**{f"y{i}": v for i, v in enumerate(results)})


def _checked_inputs(graph: Graph, inputs: Mapping[str, Array]) -> dict[Value, Array]:
    problems = [f"no input named {n!r}" for n in inputs if n not in {v.name for v in graph.inputs}]
    values: dict[Value, Array] = {}
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        if value.name not in inputs:
            problems.append(f"input {value.name!r} ({value.type}) is missing")
            continue
        array = np.asarray(inputs[value.name])
        given = TensorType.of(array)
        wanted = value.type.substitute(sizes)
        if not wanted.accepts(given):
            problems.append(f"input {value.name!r} is {given}; it must be {wanted}")
        sizes.update({d: s for d, s in zip(wanted.shape or (), array.shape, strict=False) if isinstance(d, str)})
        values[value] = array
    if problems:
        raise ModelError("; ".join(problems))
    return values
