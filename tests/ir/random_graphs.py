"""Graphs drawn by hypothesis, at every level, with names, types and numbers that are hard to spell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nascompiler.ir import Attribute, Choice, Constant, DType, Graph, Quantization, SymbolRef, TensorType, Value

ODD = [
    "",
    "0",
    "007",
    "a b",
    'quo"te',
    "back\\slash",
    "new\nline",
    "@at",
    "%x",
    "λ",
    "名前",
    "return",
    "true",
    "inf",
    "nan",
]
ODD += [
    "f32",
    "from",
    "x:0",
    "a/b.c-d",
    "-1",
    "{",
    "sha256:" + "0" * 32,
    "\ud800",
    "#no comment",
    "choice",
    "cell",
    "null",
]
NAMES = st.sampled_from(ODD) | st.text(max_size=6) | st.sampled_from(["x", "y", "z"])
FLOATS = st.floats() | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, 5e-324, 0.1, 1e300, 3.0])
SCALARS = st.booleans() | st.integers(-(2**63), 2**64) | FLOATS | NAMES | st.sampled_from(list(DType))
ATTRIBUTES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
DIMS = st.integers(0, 5) | st.none() | NAMES
SCALES = st.floats(2.0**-100, 2.0**100, width=32)


@st.composite
def types(draw: Any, *, static: bool = False) -> TensorType:
    """Any type: open, partial or static, quantised or not."""
    dtype = draw(st.sampled_from(list(DType)))
    shape = draw(st.lists(st.integers(0, 3) if static else DIMS, max_size=4).map(tuple))
    if static:
        return TensorType(shape, dtype)
    if draw(st.integers(0, 9)) == 0:
        return TensorType(None, dtype)
    quantization = None
    if dtype.is_integer and draw(st.booleans()):
        if shape and draw(st.booleans()):
            count = draw(st.integers(1, 3))
            scales = draw(st.lists(SCALES, min_size=count, max_size=count))
            zeros = draw(st.lists(st.integers(-128, 127), min_size=count, max_size=count))
            quantization = Quantization.per_axis(scales, zeros, draw(st.integers(0, len(shape) - 1)))
        else:
            quantization = Quantization.per_tensor(draw(SCALES), draw(st.integers(-128, 127)))
    return TensorType(shape, dtype, quantization)


@st.composite
def constants(draw: Any) -> Constant:
    """Constants of every element type, small and large, special values among them."""
    type = draw(types(static=True))
    if draw(st.integers(0, 9)) == 0:
        return Constant(type, digest=draw(st.text("0123456789abcdef", min_size=32, max_size=32)))
    count = type.size
    if type.dtype.is_float:
        items = draw(st.lists(FLOATS, min_size=count, max_size=count)) if count <= 9 else [0.5] * count
        with np.errstate(over="ignore"):
            array = np.array(items, np.float64).astype(type.dtype.numpy)
    elif type.dtype is DType.BOOL:
        array = np.arange(count) % 2 == 0
    else:
        info = np.iinfo(type.dtype.numpy)
        elements = st.integers(int(info.min), int(info.max))
        items = draw(st.lists(elements, min_size=count, max_size=count)) if count <= 9 else list(range(count))
        array = np.array(items, type.dtype.numpy)
    return Constant.of(array.reshape(type.static_shape))


@st.composite
def bodies(draw: Any, name: str, choices: tuple[str, ...] = (), cells: tuple[str, ...] = ()) -> Graph:
    """A graph of nodes whose declared types are anything: the text form carries them, right or wrong."""
    graph = Graph(name)
    values: list[Value] = []
    for input_name in draw(st.lists(NAMES, max_size=3, unique=True)):
        values.append(graph.add_input(input_name, draw(types())))
    values += [graph.constant(draw(constants()), draw(NAMES)) for _ in range(draw(st.integers(0, 3)))]

    def attribute(value: Attribute) -> Attribute:
        return SymbolRef(draw(st.sampled_from(choices))) if choices and draw(st.integers(0, 3)) == 0 else value

    def operands(least: int, most: int) -> list[Value]:
        return [draw(st.sampled_from(values)) for _ in range(draw(st.integers(least, most)))]

    for _ in range(draw(st.integers(0, 6))):
        if not values:
            values.append(graph.add_input("first", draw(types())))
        kind = draw(st.sampled_from(["relu", "clip", "conv2d", "split", "concat", "cast", "resize", "cell"]))
        attributes: dict[str, Any] = {}
        count, inputs, op = 1, operands(1, 1), f"nn.{kind}"
        if kind == "clip":
            attributes = {"min": attribute(draw(FLOATS)), "max": attribute(draw(FLOATS))}
        elif kind == "conv2d":
            inputs = operands(2, 3)
            attributes = {"strides": attribute((1, draw(st.integers(1, 3)))), "groups": attribute(2)}
        elif kind == "split":
            count = draw(st.integers(1, 3))
            attributes = {"axis": attribute(draw(st.integers(-4, 4))), "sizes": tuple(range(count))}
        elif kind == "concat":
            inputs, attributes = operands(1, 4), {"axis": 0}
        elif kind == "cast":
            attributes = {"to": attribute(draw(st.sampled_from(list(DType))))}
        elif kind == "resize":
            attributes = {"size": (attribute(3), 4), "mode": draw(st.sampled_from(["nearest", "linear"]))}
        elif kind == "cell":
            if not cells:
                continue
            op, attributes = "arch.cell", {"cell": SymbolRef(draw(st.sampled_from(cells))), "filters": attribute(8)}
        node = graph.insert(
            op,
            inputs,
            attributes,
            types=[draw(types()) for _ in range(count)],
            names=[draw(NAMES) for _ in range(count)],
            origin=draw(NAMES),
        )
        values += node.results
    outputs = draw(st.lists(NAMES, max_size=3, unique=True)) if values else []
    graph.set_outputs({output: draw(st.sampled_from(values)) for output in outputs})
    graph.attributes = draw(st.dictionaries(NAMES, ATTRIBUTES, max_size=2))
    return graph


@st.composite
def graphs(draw: Any) -> Graph:
    """Graphs with choices, conditions and cells."""
    choice_names = draw(st.lists(NAMES, max_size=3, unique=True))
    cell_names = draw(st.lists(NAMES, max_size=2, unique=True))
    graph: Graph = draw(bodies(draw(NAMES), tuple(choice_names), tuple(cell_names)))
    for index, name in enumerate(choice_names):
        options = draw(st.lists(ATTRIBUTES, min_size=1, max_size=3, unique_by=repr).map(tuple))
        condition = None
        if index and draw(st.booleans()):
            condition = (choice_names[index - 1], draw(st.lists(ATTRIBUTES, max_size=2).map(tuple)))
        graph.choices[name] = Choice(name, options, condition)
    for name in cell_names:
        graph.cells[name] = draw(bodies(name, tuple(choice_names)))
    return graph
