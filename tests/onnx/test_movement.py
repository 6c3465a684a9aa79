"""Transposing, joining, splitting, repeating against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops


def test_transpose() -> None:
    x = normal(2, 3, 4)
    agrees(model([node("Transpose", "x")], {"x": x}), {"x": x})
    agrees(model([node("Transpose", "x", perm=[1, 2, 0])], {"x": x}), {"x": x})


@pytest.mark.parametrize("axis", [1, -3])
def test_concat(axis: int) -> None:
    arrays = {"a": normal(2, 3, 4, 4), "b": normal(2, 5, 4, 4)}
    agrees(model([node("Concat", "a b w", axis=axis)], arrays, {"w": normal(2, 1, 4, 4)}), arrays)


def test_split_by_attribute_operand_and_equally() -> None:
    x, sizes = normal(2, 6), np.array([2, 4])
    agrees(model([node("Split", "x", "a b", axis=1, split=[2, 4])], {"x": x}, outputs="a b", opset=11), {"x": x})
    agrees(model([node("Split", "x", "a b c", axis=-1)], {"x": x}, outputs="a b c", opset=11), {"x": x})
    split = node("Split", "x s", "a b", axis=1)
    agrees(model([split], {"x": x}, {"s": sizes}, outputs="a b", opset=13), {"x": x})
    x = normal(2, 7)
    uneven = node("Split", "x", "a b c", axis=1, num_outputs=3)
    agrees(model([uneven], {"x": x}, outputs="a b c", opset=18), {"x": x})
    none_left = node("Split", "x", "a b c d e", axis=1, num_outputs=5)
    with pytest.raises(UnsupportedNodesError, match="cannot be split into 5"):
        import_onnx(model([none_left], {"x": x}, outputs="a b c d e", opset=18))


def test_an_equal_split_of_an_unknown_size_asks_for_the_shape() -> None:
    x = normal(2, 6)
    data = model([node("Split", "x", "a b", axis=1)], {"x": x}, outputs="a b", opset=13, shapes={"x": [2, "K"]})
    with pytest.raises(UnsupportedNodesError, match="give the shapes"):
        import_onnx(data)


def test_expand_and_tile() -> None:
    x, weights = normal(3, 1), {"s": np.array([2, 1, 4]), "r": np.array([2, 3])}
    assert ops(agrees(model([node("Expand", "x s")], {"x": x}, weights), {"x": x})) == ["expand"]
    assert ops(agrees(model([node("Tile", "x r")], {"x": x}, weights), {"x": x})) == ["tile"]
    arrays = {"x": x, **weights}
    nodes = [node("Expand", "x s", "e"), node("Tile", "x r", "t")]
    assert ops(agrees(model(nodes, arrays, outputs="e t"), arrays)) == ["dynamic_expand", "dynamic_tile"]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    x = normal(2, 12, 3, 4)
    agrees(model([node("DepthToSpace", "x", blocksize=2, mode=mode)], {"x": x}, opset=13), {"x": x})


def test_space_to_depth() -> None:
    x = normal(2, 3, 4, 6)
    agrees(model([node("SpaceToDepth", "x", blocksize=2)], {"x": x}), {"x": x})
