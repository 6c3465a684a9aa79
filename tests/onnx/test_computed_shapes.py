"""Shape computations and constants against ONNX Runtime; what is known is folded while importing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops


@pytest.mark.parametrize("bounds", [{}, {"start": 1}, {"start": -2, "end": 10}, {"end": -1}, {"start": 2, "end": 1}])
def test_shape(bounds: dict[str, int]) -> None:
    x = normal(2, 3, 4)
    assert ops(agrees(model([node("Shape", "x", **bounds)], {"x": x}), {"x": x})) == []
    agrees(model([node("Shape", "x", **bounds)], {"x": x}, shapes={"x": ["N", 3, "M"]}), {"x": x})


def test_size() -> None:
    x = normal(2, 3, 4)
    assert ops(agrees(model([node("Size", "x")], {"x": x}, shapes={"x": ["N", 3, 4]}), {"x": x})) == [
        "shape",
        "reduce_prod",
    ]


def test_constants_made_from_shapes() -> None:
    x = normal(2, 3)
    value = numpy_helper.from_array(np.array([5], np.int64))
    nodes = [
        node("Shape", "x", "shape"),
        node("ConstantOfShape", "shape", "fives", value=value),
        node("ConstantOfShape", "shape", "zeros"),
        node("Range", "zero six two", "range"),
    ]
    weights = {name: np.array(n) for name, n in (("zero", 0), ("six", 6), ("two", 2))}
    for shape in ((2, 3), ("N", 3)):
        agrees(model(nodes, {"x": x}, weights, outputs="fives zeros range", shapes={"x": shape}), {"x": x})


def test_a_chain_of_shape_computations_folds_to_nothing() -> None:
    x = normal(2, 8, 4, 6)
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape i", "height"),
        node("Unsqueeze", "height zero", "h"),
        node("Div", "h two", "half"),
        node("Mul", "half two", "even"),
        node("Equal", "even h", "same"),
        node("Where", "same h even", "chosen"),
        node("Concat", "batch chosen minus", "target", axis=0),
        node("Reshape", "x target"),
    ]
    weights = {
        name: np.array(n) for name, n in (("i", 2), ("zero", [0]), ("two", [2]), ("batch", [2]), ("minus", [-1]))
    }
    graph = agrees(model(nodes, {"x": x}, weights), {"x": x})
    assert [n["shape"] for n in graph.nodes] == [(2, 4, -1)]


@pytest.mark.parametrize(
    "value",
    [
        {"value": numpy_helper.from_array(normal(2, 3))},
        {"value_float": 1.5},
        {"value_floats": [1.5, 2.5]},
        {"value_int": 3},
        {"value_ints": [3, 4]},
    ],
    ids=lambda value: next(iter(value)),
)
def test_constant(value: dict[str, Any]) -> None:
    x = normal(2)
    agrees(model([node("Constant", "", **value), node("Identity", "x", "z")], {"x": x}, outputs="y z"), {"x": x})


def test_text_is_refused() -> None:
    nodes = [node("Constant", "", "t", value_string="a"), node("Identity", "x")]
    with pytest.raises(UnsupportedNodesError, match="only tensors and numbers"):
        import_onnx(model(nodes, {"x": normal(2)}))


@pytest.mark.parametrize(("opset", "inputs"), [(7, "x"), (12, "x"), (13, "x ratio off"), (13, "x ratio")])
def test_dropout_does_nothing(opset: int, inputs: str) -> None:
    x, weights = normal(3, 4), {"ratio": np.array(0.3, np.float32), "off": np.array(False)}
    assert ops(agrees(model([node("Dropout", inputs)], {"x": x}, weights, opset=opset), {"x": x})) == []
    if opset > 7:
        agrees(model([node("Dropout", inputs, "y mask")], {"x": x}, weights, outputs="y mask", opset=opset), {"x": x})


def test_training_dropout_is_refused() -> None:
    weights = {"ratio": np.array(0.3, np.float32), "on": np.array(True)}
    with pytest.raises(UnsupportedNodesError, match="training_mode is true"):
        import_onnx(model([node("Dropout", "x ratio on")], {"x": normal(2)}, weights, opset=13))
