"""QLinearConv, QLinearMatMul and QGemm are the integers of ONNX Runtime, every one.

On machines without 8-bit dot products (VNNI) ONNX Runtime saturates pairs of products of u8 and i8, so the weights of
that pair are kept small here: see docs/quantized-onnx.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.ir.types import Array
from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import largest_difference, model, node, ops

CONTRIBUTED = "com.microsoft"
PAIRS = [(np.int8, np.int8), (np.uint8, np.int8), (np.uint8, np.uint8)]
KINDS = ["pointwise", "depthwise", "grouped", "dense"]


class Draw:
    """Random operands of one example."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([32, seed])

    def size(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def sizes(self, count: int, low: int, high: int) -> list[int]:
        return [self.size(low, high) for _ in range(count)]

    def integers(self, dtype: Any, *shape: int, reach: int = 256) -> Array:
        info = np.iinfo(dtype)
        low, high = max(info.min, -reach), min(info.max, reach)
        return self.rng.integers(low, high + 1, shape).astype(dtype)

    def scales(self, count: int) -> Array:
        return np.exp(self.rng.uniform(np.log(1e-3), np.log(0.2), count)).astype(np.float32)

    def parameters(self, x_dtype: Any, weight: Array, channels: int, products: int) -> dict[str, Array]:
        """Scales and zero points of operands, weights (one, or one for each channel) and result."""
        count = channels if self.rng.random() < 0.6 else 1
        point = self.integers(weight.dtype) if weight.dtype == np.uint8 else weight.dtype.type(0)
        x_scale, weight_scale = self.scales(1)[0], self.scales(count)
        reach = np.sqrt(products) * 74 * np.abs(weight.astype(np.float64) - point).std() * x_scale * weight_scale.mean()
        per_channel = count > 1 or self.rng.random() < 0.5
        return {
            "xs": x_scale,
            "xz": self.integers(x_dtype),
            "w": weight,
            "ws": weight_scale if per_channel else weight_scale[0],
            "wz": np.full(count, point, weight.dtype) if per_channel else point,
            "ys": np.float32(max(reach, 1e-3) / 50),
            "yz": self.integers(x_dtype),
        }


def reach_of(x_dtype: Any, weight_dtype: Any) -> int:
    return 60 if (x_dtype, weight_dtype) == (np.uint8, np.int8) else 256


def exact(data: bytes, inputs: dict[str, Array]) -> bool:
    return all(largest_difference(data, inputs, optimized=optimized) == 0 for optimized in (True, False))


def conv(seed: int, kind: str, x_dtype: Any, weight_dtype: Any) -> tuple[bytes, dict[str, Array]]:
    draw = Draw(seed)
    groups = {"depthwise": draw.size(1, 24), "grouped": draw.size(2, 4)}.get(kind, 1)
    inputs, outputs = draw.size(1, 24 // groups), draw.size(1, 24 // groups)
    if kind == "depthwise":
        inputs, outputs = 1, draw.size(1, 2)
    kernel = [1, 1] if kind == "pointwise" else draw.sizes(2, 1, 5)
    dilations = [1, 1] if kind == "pointwise" else draw.sizes(2, 1, 2)
    window = {
        "kernel_shape": kernel,
        "dilations": dilations,
        "strides": draw.sizes(2, 1, 2),
        "pads": [0] * 4 if kind == "pointwise" else draw.sizes(4, 0, 2),
    }
    size = [d * (k - 1) + draw.size(1, 8) for d, k in zip(dilations, kernel, strict=True)]
    x = draw.integers(x_dtype, draw.size(1, 2), groups * inputs, *size)
    weight = draw.integers(weight_dtype, groups * outputs, inputs, *kernel, reach=reach_of(x_dtype, weight_dtype))
    parameters = draw.parameters(x_dtype, weight, groups * outputs, inputs * kernel[0] * kernel[1])
    names = "x xs xz w ws wz ys yz"
    if draw.rng.random() < 0.6:
        parameters["b"] = draw.rng.integers(-20000, 20000, groups * outputs).astype(np.int32)
        names += " b"
    return model([node("QLinearConv", names, group=groups, **window)], {"x": x}, parameters, opset=19), {"x": x}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(t.__name__ for t in pair))
@pytest.mark.parametrize("kind", KINDS)
def test_convolutions(kind: str, pair: tuple[Any, Any]) -> None:
    for seed in range(6):
        data, inputs = conv(seed, kind, *pair)
        assert exact(data, inputs)
        assert "qnn.conv2d" in ops(import_onnx(data))


def matrices(draw: Draw, x_dtype: Any, weight_dtype: Any) -> tuple[Array, dict[str, Array]]:
    rows, inner, columns = draw.sizes(3, 1, 70)
    weight = draw.integers(weight_dtype, inner, columns, reach=reach_of(x_dtype, weight_dtype))
    return draw.integers(x_dtype, rows, inner), draw.parameters(x_dtype, weight, columns, inner)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(t.__name__ for t in pair))
def test_matrix_products(pair: tuple[Any, Any]) -> None:
    for seed in range(6):
        x, parameters = matrices(Draw(seed), *pair)
        data = model([node("QLinearMatMul", "x xs xz w ws wz ys yz")], {"x": x}, parameters)
        assert exact(data, {"x": x})
        assert ops(import_onnx(data)) == ["qnn.linear"]


def test_a_product_of_two_activations() -> None:
    draw = Draw(0)
    a, b = draw.integers(np.int8, 2, 3, 5, 16), draw.integers(np.int8, 2, 3, 16, 7)
    weights = {"s": np.float32(0.05), "z": np.int8(3), "ys": np.float32(8)}
    data = model([node("QLinearMatMul", "a s z b s z ys z")], {"a": a, "b": b}, weights)
    assert exact(data, {"a": a, "b": b})
    assert ops(import_onnx(data)) == ["qnn.matmul"]


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(t.__name__ for t in pair))
def test_gemm(pair: tuple[Any, Any], rounded: bool) -> None:
    """Without a scale of its own the result is float32, and the same to the last bit as well."""
    for seed in range(6):
        draw = Draw(seed)
        x, parameters = matrices(draw, *pair)
        parameters["c"] = draw.rng.integers(-20000, 20000, parameters["w"].shape[1]).astype(np.int32)
        transposed = int(draw.rng.random() < 0.5)
        if transposed:
            parameters["w"] = np.ascontiguousarray(parameters["w"].T)
        names = "x xs xz w ws wz c" + " ys yz" * rounded
        gemm = node("QGemm", names, transB=transposed, domain=CONTRIBUTED)
        assert exact(model([gemm], {"x": x}, parameters), {"x": x})


def test_zero_points_that_differ_by_channel() -> None:
    """ONNX Runtime's quantiser writes them for asymmetric weights; no qnn op has them."""
    draw = Draw(1)
    x, weight = draw.integers(np.uint8, 1, 6, 5, 5), draw.integers(np.uint8, 4, 6, 1, 1)
    parameters = {
        "xs": np.float32(0.05),
        "xz": np.uint8(9),
        "w": weight,
        "ws": draw.scales(4),
        "wz": draw.integers(np.uint8, 4),
        "ys": np.float32(5),
        "yz": np.uint8(120),
        "b": np.arange(4, dtype=np.int32) * 1000,
    }
    data = model([node("QLinearConv", "x xs xz w ws wz ys yz b")], {"x": x}, parameters)
    assert ops(import_onnx(data)) == ["qnn.dequantize_per_axis", "qnn.dequantize", "conv2d", "qnn.quantize"]
    assert largest_difference(data, {"x": x}) <= 1


def test_what_is_not_supported_says_so() -> None:
    draw = Draw(2)
    x, parameters = matrices(draw, np.int8, np.int8)
    rows = {**parameters, "xs": np.full(x.shape[0], 0.1, np.float32), "xz": np.zeros(x.shape[0], np.int8)}
    data = model([node("QLinearMatMul", "x xs xz w ws wz ys yz")], {"x": x}, rows)
    with pytest.raises(UnsupportedNodesError, match="for an activation; one for the whole tensor"):
        import_onnx(data)
    computed = dict(parameters)
    inputs = {"x": x, "ys": computed.pop("ys")}
    with pytest.raises(UnsupportedNodesError, match="scale is computed at run time"):
        import_onnx(model([node("QLinearMatMul", "x xs xz w ws wz ys yz")], inputs, computed))
