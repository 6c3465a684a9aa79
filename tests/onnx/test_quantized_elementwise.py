"""Operators of com.microsoft other than sums of products: within one integer of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.ir.types import Array
from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import largest_difference, model, node, ops

CONTRIBUTED = "com.microsoft"
TYPES = pytest.mark.parametrize("dtype", [np.int8, np.uint8])


def integers(dtype: Any, *shape: int, seed: int = 0) -> Array:
    info = np.iinfo(dtype)
    return np.random.default_rng([33, seed]).integers(info.min, info.max + 1, shape).astype(dtype)


def weights(dtype: Any, **more: float) -> dict[str, Array]:
    """Scales (`s` by default 0.05) and zero points."""
    scales = {"s": 0.05, "ws": 0.03, "ys": 0.09, **more}
    points = {"z": 11, "wz": 90, "yz": 60}
    return {
        **{name: np.asarray(scale, np.float32) for name, scale in scales.items()},
        **{name: np.asarray(point, dtype) for name, point in points.items()},
    }


def compare(operator: str, names: str, inputs: dict[str, Array], parameters: dict[str, Array], **how: Any) -> list[str]:
    """The ops of the import, after it proved to be within one of ONNX Runtime."""
    data = model([node(operator, names, domain=CONTRIBUTED, **how)], inputs, parameters)
    assert largest_difference(data, inputs) <= 1
    return ops(import_onnx(data))


@TYPES
@pytest.mark.parametrize("shape", [(2, 5, 7, 9), (5, 1, 1), (1,)])
def test_add_and_mul(dtype: Any, shape: tuple[int, ...]) -> None:
    inputs = {"x": integers(dtype, 2, 5, 7, 9), "w": integers(dtype, *shape, seed=1)}
    assert compare("QLinearAdd", "x s z w ws wz ys yz", inputs, weights(dtype)) == ["qnn.add"]
    assert compare("QLinearMul", "x s z w ws wz ys yz", inputs, weights(dtype)) == ["qnn.mul"]


@TYPES
@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
def test_average_pool(dtype: Any, counted: int, ceil: int) -> None:
    window = {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]}
    how = {**window, "count_include_pad": counted, "ceil_mode": ceil}
    found = compare("QLinearAveragePool", "x s z ys yz", {"x": integers(dtype, 1, 4, 8, 9)}, weights(dtype), **how)
    assert "qnn.average_pool2d" in found


@TYPES
def test_global_average_pool(dtype: Any) -> None:
    found = compare("QLinearGlobalAveragePool", "x s z ys yz", {"x": integers(dtype, 2, 20, 7, 7)}, weights(dtype))
    assert found == ["qnn.global_average_pool"]


@TYPES
def test_concat_brings_its_parts_to_one_scale(dtype: Any) -> None:
    inputs = {"x": integers(dtype, 2, 3, 4), "w": integers(dtype, 2, 5, 4, seed=1)}
    found = compare("QLinearConcat", "ys yz x s z w ys yz", inputs, weights(dtype), axis=1)
    assert found == ["qnn.requantize", "concat"]


@TYPES
def test_functions_are_tables(dtype: Any) -> None:
    x = {"x": integers(dtype, 3, 400)}
    assert compare("QLinearSigmoid", "x s z ys yz", x, weights(dtype, ys=1 / 255)) == ["qnn.lookup"]
    assert compare("QLinearLeakyRelu", "x s z ys yz", x, weights(dtype), alpha=0.2) == ["qnn.lookup"]


@TYPES
def test_softmax_stays_in_float(dtype: Any) -> None:
    x = {"x": integers(dtype, 3, 5, 40)}
    parameters = weights(dtype, ys=1 / 255)
    found = compare("QLinearSoftmax", "x s z ys yz", x, parameters, axis=1, opset=13)
    assert found == ["qnn.dequantize", "softmax", "qnn.quantize"]


def refused(operator: str, names: str, x: Array, parameters: dict[str, Array], **how: Any) -> str:
    with pytest.raises(UnsupportedNodesError) as raised:
        import_onnx(model([node(operator, names, domain=CONTRIBUTED, **how)], {"x": x}, parameters))
    return str(raised.value)


def test_what_is_not_supported_says_so() -> None:
    x = integers(np.int8, 1, 4, 5, 6)
    parameters = weights(np.int8)
    last = refused("QLinearGlobalAveragePool", "x s z ys yz", x, parameters, channels_last=1)
    assert "channels_last=1 is not supported" in last
    old = refused("QLinearSoftmax", "x s z ys yz", x, parameters, axis=1, opset=11)
    assert "the last axis is accepted" in old
    assert "values, scale and zero point" in refused("QLinearConcat", "ys yz x s", x, parameters, axis=1)
    assert "this operator is not supported" in refused("QAttention", "x s z ys yz", x, parameters)
    assert "inputs; 7 to 8 are expected" in refused("QLinearAdd", "x s z", x, parameters)
    assert "unknown attribute 'axis'" in refused("QLinearAdd", "x s z x s z ys yz", x, parameters, axis=1)
    assert "zero point is u8 where its values are i8" in refused(
        "QLinearAdd", "x s z x s z ys yz", x, {**parameters, "z": np.uint8(3)}
    )
