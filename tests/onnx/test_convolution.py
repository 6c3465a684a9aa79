"""Conv and ConvTranspose against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 1], "pads": [1, 0, 2, 3]},
        {"dilations": [2, 3], "pads": [2, 3, 2, 3]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 3]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "VALID"},
        {"kernel_shape": [3, 2]},
    ],
    ids=str,
)
def test_conv(attributes: dict[str, Any]) -> None:
    x, w, b = normal(2, 4, 9, 11), normal(6, 4, 3, 2), normal(6)
    graph = agrees(model([node("Conv", "x w b", **attributes)], {"x": x}, {"w": w, "b": b}), {"x": x})
    assert ops(graph) == ["conv2d"]
    (conv,) = (n for n in graph.nodes if n.op.name == "nn.conv2d")
    assert conv.operands[1].type.shape == (3, 2, 4, 6)
    assert conv.origin == "onnx:Conv#0"


@pytest.mark.parametrize(("groups", "features"), [(2, 6), (4, 4), (4, 8)])
def test_grouped_and_depthwise_conv(groups: int, features: int) -> None:
    x, w = normal(1, 4, 7, 7), normal(features, 4 // groups, 3, 3)
    agrees(model([node("Conv", "x w", group=groups)], {"x": x}, {"w": w}), {"x": x})


def test_conv_over_one_dimension_is_an_image_of_height_one() -> None:
    x, w = normal(2, 4, 13), normal(6, 2, 3)
    nodes = [node("Conv", "x w", "h", group=2, strides=[2], pads=[1, 2]), node("Conv", "h v", auto_pad="SAME_UPPER")]
    graph = agrees(model(nodes, {"x": x}, {"w": w, "v": normal(3, 6, 4)}), {"x": x})
    assert ops(graph) == ["unsqueeze", "conv2d", "conv2d", "squeeze"]


def test_a_weight_that_is_computed_is_permuted_by_the_graph() -> None:
    arrays = {"x": normal(1, 3, 5, 5), "w": normal(4, 3, 3, 3)}
    agrees(model([node("Conv", "x w")], arrays), arrays)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 2]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "output_shape": [12, 13]},
        {"strides": [2, 2], "output_shape": [14, 16]},
        {"dilations": [2, 2]},
    ],
    ids=str,
)
def test_transposed_conv(attributes: dict[str, Any]) -> None:
    x, w, b = normal(2, 4, 6, 7), normal(4, 3, 3, 4), normal(3)
    agrees(model([node("ConvTranspose", "x w b", **attributes)], {"x": x}, {"w": w, "b": b}), {"x": x})


def test_transposed_conv_in_groups_and_over_one_dimension() -> None:
    x, w = normal(2, 4, 6), normal(4, 3, 3)
    data = model([node("ConvTranspose", "x w", group=2, strides=[2])], {"x": x}, {"w": w})
    agrees(data, {"x": x})


def test_same_padding_of_an_unknown_size_asks_for_the_shape() -> None:
    x, w = normal(1, 3, 8, 8), normal(4, 3, 3, 3)
    data = model(
        [node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2])],
        {"x": x},
        {"w": w},
        shapes={"x": ["N", 3, "H", "W"]},
    )
    with pytest.raises(UnsupportedNodesError, match="give the graph's shapes"):
        import_onnx(data)
    agrees(data, {"x": x}, shapes={"x": (1, 3, 8, 8)})


def test_three_dimensions_are_refused() -> None:
    data = model([node("Conv", "x w")], {"x": normal(1, 2, 5, 5, 5)}, {"w": np.ones((2, 2, 3, 3, 3), np.float32)})
    with pytest.raises(UnsupportedNodesError, match="a convolution over 3 dimensions; accepted: 1 and 2"):
        import_onnx(data)
