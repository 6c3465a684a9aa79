"""Reshape, Flatten, Squeeze and Unsqueeze against ONNX Runtime, static and not."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops


@pytest.mark.parametrize(("shape", "allowzero"), [([2, -1], 0), ([0, 0, 2, 2], 0), ([0, -1, 1], 0), ([3, 8], 1)])
def test_reshape_to_a_constant_shape(shape: list[int], allowzero: int) -> None:
    x = normal(2, 3, 4)
    reshape = node("Reshape", "x s", allowzero=allowzero)
    graph = agrees(model([reshape], {"x": x}, {"s": np.array(shape)}, opset=14), {"x": x})
    assert ops(graph) == ["reshape"]


def test_zero_is_a_size_when_allowed() -> None:
    x = np.zeros((0, 10), np.float32)
    agrees(model([node("Reshape", "x s", allowzero=1)], {"x": x}, {"s": np.array([3, 4, 0])}, opset=14), {"x": x})


def test_a_shape_computed_from_open_dimensions_becomes_minus_one() -> None:
    """What PyTorch and PaddlePaddle write for `x.reshape(x.shape[0], -1)`."""
    x = normal(2, 3, 4, 5)
    nodes = [
        node("Shape", "x", "shape"),
        node("Slice", "shape zero one", "batch"),
        node("Cast", "batch", "narrow", to=6),
        node("Cast", "narrow", "wide", to=7),
        node("Concat", "wide sixty", "target", axis=0),
        node("Reshape", "x target"),
    ]
    weights = {"zero": np.array([0]), "one": np.array([1]), "sixty": np.array([60])}
    data = model(nodes, {"x": x}, weights, shapes={"x": ["N", 3, 4, 5]})
    graph = agrees(data, {"x": x})
    assert ops(graph) == ["reshape"]
    assert [n["shape"] for n in graph.nodes] == [(-1, 60)]
    assert [n["shape"] for n in agrees(data, {"x": x}, shapes={"x": (2, 3, 4, 5)}).nodes] == [(2, 60)]


def test_two_unknown_dimensions_stay_dynamic() -> None:
    x = normal(2, 3, 4)
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape order", "turned"),
        node("Reshape", "x turned"),
    ]
    data = model(nodes, {"x": x}, {"order": np.array([2, 1, 0])}, shapes={"x": ["A", "B", 4]})
    assert ops(agrees(data, {"x": x})) == ["shape", "gather", "dynamic_reshape"]


def test_a_shape_that_is_an_input() -> None:
    arrays = {"x": normal(2, 6), "s": np.array([3, 4])}
    assert ops(agrees(model([node("Reshape", "x s")], arrays), arrays)) == ["dynamic_reshape"]


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flatten(axis: int) -> None:
    x = normal(2, 3, 4)
    agrees(model([node("Flatten", "x", axis=axis)], {"x": x}), {"x": x})


def test_squeeze_and_unsqueeze_by_attribute_and_by_operand() -> None:
    x, axes = normal(2, 1, 3, 1), np.array([1, -1])
    agrees(model([node("Squeeze", "x", axes=[1, 3])], {"x": x}, opset=11), {"x": x})
    agrees(model([node("Squeeze", "x")], {"x": x}, opset=11), {"x": x})
    agrees(model([node("Squeeze", "x axes")], {"x": x}, {"axes": axes}, opset=13), {"x": x})
    agrees(model([node("Squeeze", "x")], {"x": x}, opset=13), {"x": x})
    agrees(model([node("Unsqueeze", "x", axes=[3, 0])], {"x": x}, opset=11), {"x": x})
    agrees(model([node("Unsqueeze", "x axes")], {"x": x}, {"axes": axes}, opset=13), {"x": x})


def test_axes_that_are_an_input_are_refused() -> None:
    arrays = {"x": normal(2, 1), "a": np.array([1])}
    with pytest.raises(UnsupportedNodesError, match="axes is computed at run time"):
        import_onnx(model([node("Squeeze", "x a")], arrays, opset=13))
