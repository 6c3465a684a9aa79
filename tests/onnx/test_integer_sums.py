"""ConvInteger, MatMulInteger and DynamicQuantizeLinear: exact sums, and what models make of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.ir.types import Array
from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, largest_difference, model, node, normal, ops

PAIRS = [(np.int8, np.int8), (np.uint8, np.uint8), (np.int8, np.uint8)]


def integers(dtype: Any, *shape: int, seed: int = 0) -> Array:
    info = np.iinfo(dtype)
    return np.random.default_rng([34, seed]).integers(info.min, info.max + 1, shape).astype(dtype)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(t.__name__ for t in pair))
def test_sums_are_exact(pair: tuple[Any, Any]) -> None:
    image, matrix = {"x": integers(pair[0], 2, 6, 7, 8)}, {"x": integers(pair[0], 5, 300)}
    weights = {"xz": pair[0](7), "w": integers(pair[1], 4, 3, 3, 3), "wz": pair[1](0 if pair[1] is np.int8 else 99)}
    conv = node("ConvInteger", "x w xz wz", group=2, pads=[1, 0, 2, 1], strides=[2, 1])
    assert largest_difference(model([conv], image, weights), image) == 0
    product = {**weights, "w": integers(pair[1], 300, 9)}
    assert largest_difference(model([node("MatMulInteger", "x w xz wz")], matrix, product), matrix) == 0


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_scaled_sums_of_a_convolution_are_one_op(per_channel: bool, biased: bool) -> None:
    x = {"x": integers(np.int8, 1, 3, 6, 6)}
    scale = np.linspace(1e-4, 2e-4, 5, dtype=np.float32) if per_channel else np.full(1, 3e-4, np.float32)
    weights = {"w": integers(np.int8, 5, 3, 3, 3), "xz": np.int8(4), "s": scale.reshape(-1, 1, 1)}
    nodes = [node("ConvInteger", "x w xz", "t", pads=[1, 1, 1, 1])]
    if biased:
        weights["b"] = np.arange(5, dtype=np.int32).reshape(1, 5, 1, 1) * 1000
        nodes.append(node("Add", "t b", "tb"))
    nodes += [node("Cast", nodes[-1].output[0], "f", to=1), node("Mul", "s f")]
    data = model(nodes, x, weights)
    assert ops(import_onnx(data)) == ["qnn.conv2d"]
    assert largest_difference(data, x) == 0


def test_scaled_sums_keep_the_scale_of_their_operand() -> None:
    """The type says that it is 0.1: the scales of the weights make up the rest of the factor, to the last bit."""
    x = {"x": normal(4, 16)}
    factor = np.linspace(0.1, 0.3, 7, dtype=np.float32) * np.float32(0.1)
    weights = {"xs": np.float32(0.1), "xz": np.int8(3), "w": integers(np.int8, 16, 7), "s": factor}
    nodes = [
        node("QuantizeLinear", "x xs xz", "q"),
        node("MatMulInteger", "q w xz", "t"),
        node("Cast", "t", "f", to=1),
        node("Mul", "f s"),
    ]
    data = model(nodes, x, weights)
    assert ops(import_onnx(data)) == ["qnn.quantize", "qnn.linear"]
    assert largest_difference(data, x) == 0


def test_sums_used_twice_and_other_factors_stay_as_they_are() -> None:
    x = {"x": integers(np.int8, 4, 16)}
    weights = {"w": integers(np.int8, 16, 7), "s": np.linspace(-1, 1, 7, dtype=np.float32), "r": normal(4, 1)}
    nodes = [node("MatMulInteger", "x w", "t"), node("Cast", "t", "f", to=1), node("Mul", "f s", "y")]
    agrees(model(nodes, x, weights, outputs="y t"), x)
    assert ops(import_onnx(model(nodes, x, weights, outputs="y t")))[-1] == "mul"
    by_row = [*nodes[:2], node("Mul", "f r", "y")]
    assert ops(agrees(model(by_row, x, weights), x))[-1] == "mul"


def test_quantisation_at_run_time() -> None:
    """As ONNX Runtime's quantize_dynamic makes it: the zero point and the factor are computed."""
    weights = {"w": integers(np.uint8, 16, 7), "wz": np.uint8(120), "ws": np.float32(0.01)}
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z wz", "t"),
        node("Cast", "t", "f", to=1),
        node("Mul", "s ws", "sws"),
        node("Mul", "f sws"),
    ]
    for x in (normal(5, 16), normal(5, 16) + 9, np.zeros((5, 16), np.float32)):
        agrees(model(nodes, {"x": x}, weights), {"x": x})


def test_rows_with_zero_points_of_their_own_are_refused() -> None:
    x = {"x": integers(np.int8, 4, 16)}
    weights = {"w": integers(np.int8, 16, 7), "xz": np.zeros(4, np.int8)}
    with pytest.raises(UnsupportedNodesError, match="one for the whole tensor is accepted"):
        import_onnx(model([node("MatMulInteger", "x w xz")], x, weights))
