"""Reductions against ONNX Runtime; the axes are an attribute before opset 13 (sum) or 18 (the others)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.support import agrees, model, node, normal

REDUCTIONS = "Sum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare".split()


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_by_attribute(name: str, keepdims: int) -> None:
    x = np.abs(normal(2, 3, 4)) + 0.1
    for axes in ({}, {"axes": [1]}, {"axes": [-1, 0]}):
        agrees(model([node(f"Reduce{name}", "x", keepdims=keepdims, **axes)], {"x": x}, opset=11), {"x": x})


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_by_operand(name: str) -> None:
    x, axes = np.abs(normal(2, 3, 4)) + 0.1, np.array([-1, 0])
    agrees(model([node(f"Reduce{name}", "x a", keepdims=0)], {"x": x}, {"a": axes}, opset=18), {"x": x})
    agrees(model([node(f"Reduce{name}", "x")], {"x": x}, opset=18), {"x": x})


def test_no_axes_may_mean_none() -> None:
    x = normal(2, 3)
    data = model([node("ReduceSum", "x a", noop_with_empty_axes=1)], {"x": x}, {"a": np.zeros(0, np.int64)}, opset=13)
    agrees(data, {"x": x})


def test_a_sum_of_exponentials_does_not_overflow() -> None:
    x = np.array([[1000, 999], [-np.inf, -np.inf]], np.float32)
    agrees(model([node("ReduceLogSumExp", "x", axes=[1])], {"x": x}, opset=13), {"x": x})


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize(("keepdims", "last"), [(0, 0), (1, 1)])
def test_places_of_extremes(operator: str, keepdims: int, last: int) -> None:
    x = np.round(normal(3, 6))
    place = node(operator, "x", axis=-1, keepdims=keepdims, select_last_index=last)
    agrees(model([place], {"x": x}, opset=13), {"x": x})
