"""Pooling against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops

WINDOWS = [
    {"kernel_shape": [3, 2]},
    {"kernel_shape": [3, 2], "strides": [2, 3], "pads": [1, 0, 2, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER"},
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_max_pool(window: dict[str, Any]) -> None:
    x = normal(2, 3, 10, 11)
    graph = agrees(model([node("MaxPool", "x", **window)], {"x": x}, opset=22), {"x": x})
    assert ops(graph) == ["max_pool2d"]


def test_max_pool_with_dilation() -> None:
    x = normal(1, 2, 9, 9)
    agrees(model([node("MaxPool", "x", kernel_shape=[2, 3], dilations=[3, 2])], {"x": x}), {"x": x})


@pytest.mark.parametrize("count_include_pad", [0, 1])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_average_pool(window: dict[str, Any], count_include_pad: int) -> None:
    x = normal(2, 3, 10, 11)
    pool = node("AveragePool", "x", count_include_pad=count_include_pad, **window)
    agrees(model([pool], {"x": x}, opset=22), {"x": x})


def test_pooling_over_one_dimension() -> None:
    x = normal(2, 3, 11)
    nodes = [
        node("MaxPool", "x", "m", kernel_shape=[3], strides=[2], ceil_mode=1),
        node("AveragePool", "m", kernel_shape=[2], pads=[1, 0], count_include_pad=1),
    ]
    agrees(model(nodes, {"x": x}, opset=19), {"x": x})


@pytest.mark.parametrize("operator", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 5, 4), (2, 3, 2, 3, 2)])
def test_global_pools(operator: str, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    agrees(model([node(operator, "x")], {"x": x}), {"x": x})


def test_ceil_mode_of_an_unknown_size_asks_for_the_shape() -> None:
    x = normal(1, 3, 8, 8)
    pool = node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    data = model([pool], {"x": x}, shapes={"x": [1, 3, "H", "W"]})
    with pytest.raises(UnsupportedNodesError, match="ceil_mode needs the size"):
        import_onnx(data)
    agrees(data, {"x": x}, shapes={"x": (1, 3, 8, 8)})


def test_indices_are_refused() -> None:
    data = model([node("MaxPool", "x", "y i", kernel_shape=[2, 2])], {"x": normal(1, 1, 4, 4)}, outputs="y i")
    with pytest.raises(UnsupportedNodesError, match="Indices"):
        import_onnx(data)
