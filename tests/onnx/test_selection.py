"""Slicing, gathering and padding against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops

LAST = np.iinfo(np.int64).max


def test_slice_by_attributes() -> None:
    x = normal(4, 5, 6)
    agrees(model([node("Slice", "x", starts=[1, -2], ends=[3, LAST], axes=[2, 0])], {"x": x}, opset=9), {"x": x})
    agrees(model([node("Slice", "x", starts=[1, 2], ends=[100, -1])], {"x": x}, opset=9), {"x": x})


@pytest.mark.parametrize(
    "bounds",
    [
        {"s": [1], "e": [4]},
        {"s": [1, -3], "e": [LAST, -1], "a": [-1, 0]},
        {"s": [-1, 5], "e": [-LAST, 0], "a": [1, 2], "t": [-1, -2]},
        {"s": [0], "e": [0], "a": [1]},
    ],
    ids=str,
)
def test_slice_by_operands(bounds: dict[str, list[int]]) -> None:
    x = normal(4, 5, 6)
    arrays = {name: np.array(values) for name, values in bounds.items()}
    cut = node("Slice", " ".join(["x", *arrays]))
    assert ops(agrees(model([cut], {"x": x}, arrays), {"x": x})) == ["slice"]
    assert ops(agrees(model([cut], {"x": x, **arrays}), {"x": x, **arrays})) == ["dynamic_slice"]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather(axis: int) -> None:
    arrays = {"x": normal(4, 5, 6), "i": np.array([[0, -1], [3, 2]])}
    agrees(model([node("Gather", "x i", axis=axis)], arrays), arrays)


def test_pad_by_attributes() -> None:
    x = normal(1, 2, 4, 4)
    pads: dict[str, Any] = {"pads": [0, 0, 1, 2, 0, 0, 3, 0]}
    agrees(model([node("Pad", "x", value=1.5, **pads)], {"x": x}, opset=10), {"x": x})
    agrees(model([node("Pad", "x", mode="reflect", **pads)], {"x": x}, opset=10), {"x": x})


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad_by_operands(mode: str) -> None:
    x, pads = normal(3, 4, 5), np.array([0, 1, 2, 0, 2, 1])
    pad = node("Pad", "x p", mode=mode)
    assert ops(agrees(model([pad], {"x": x}, {"p": pads}, opset=19), {"x": x})) == ["pad"]
    assert ops(agrees(model([pad], {"x": x, "p": pads}, opset=19), {"x": x, "p": pads})) == ["dynamic_pad"]


def test_pad_of_some_axes_with_a_value_and_cropping() -> None:
    x = normal(3, 4, 5)
    weights = {"p": np.array([1, -1, 2, 0]), "v": np.array(7, np.float32), "a": np.array([-1, 1])}
    agrees(model([node("Pad", "x p v a")], {"x": x}, weights, opset=18), {"x": x})


def test_a_computed_fill_value_is_refused() -> None:
    arrays = {"x": normal(2), "v": np.array(1, np.float32)}
    with pytest.raises(UnsupportedNodesError, match="the fill value is computed at run time"):
        import_onnx(model([node("Pad", "x p v")], arrays, {"p": np.array([1, 1])}))
