"""Activation functions against ONNX Runtime, and softmax as opsets before and after 13 mean it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.onnx.support import agrees, model, node, normal, ops


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("Relu", {}),
        ("Sigmoid", {}),
        ("Tanh", {}),
        ("Softplus", {}),
        ("Softsign", {}),
        ("HardSwish", {}),
        ("HardSigmoid", {}),
        ("HardSigmoid", {"alpha": 0.25, "beta": 0.4}),
        ("LeakyRelu", {}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("Elu", {"alpha": 0.7}),
        ("Selu", {}),
        ("Celu", {"alpha": 2.0}),
        ("ThresholdedRelu", {"alpha": 0.5}),
        ("Shrink", {"lambd": 0.3, "bias": 0.1}),
    ],
    ids=str,
)
def test_activation(operator: str, attributes: dict[str, Any]) -> None:
    x = normal(3, 7) * 3
    agrees(model([node(operator, "x", **attributes)], {"x": x}), {"x": x})


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    x = normal(3, 7) * 2
    agrees(model([node("Gelu", "x", approximate=approximate)], {"x": x}, opset=20), {"x": x})


def test_mish() -> None:
    x = normal(3, 7) * 2
    agrees(model([node("Mish", "x")], {"x": x}, opset=18), {"x": x})


@pytest.mark.parametrize("slope", [(5, 1, 1), (1,), (2, 5, 4, 3)])
def test_prelu(slope: tuple[int, ...]) -> None:
    x = normal(2, 5, 4, 3)
    agrees(model([node("PRelu", "x s")], {"x": x}, {"s": normal(*slope)}), {"x": x})


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("opset", "axis"), [(11, 1), (11, 2), (11, -1), (11, None), (13, 1), (13, -1), (13, None)])
def test_softmax(operator: str, opset: int, axis: int | None) -> None:
    x = normal(2, 3, 4)
    attributes = {} if axis is None else {"axis": axis}
    agrees(model([node(operator, "x", **attributes)], {"x": x}, opset=opset), {"x": x})


def test_softmax_of_rows_with_an_unknown_size() -> None:
    x = normal(2, 3, 4)
    graph = agrees(model([node("Softmax", "x")], {"x": x}, opset=11, shapes={"x": ["N", 3, "W"]}), {"x": x})
    assert ops(graph) == ["flatten", "softmax", "shape", "dynamic_reshape"]


def test_hardmax() -> None:
    x = np.round(normal(3, 4, 5))
    agrees(model([node("Hardmax", "x", axis=1)], {"x": x}, opset=13), {"x": x})
