"""Normalisation against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops

PARAMETERS = {"s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3)) + 0.5}


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 2, 2, 2)])
def test_batch_norm(shape: tuple[int, ...], opset: int) -> None:
    x = normal(*shape)
    data = model([node("BatchNormalization", "x s b m v", epsilon=1e-3)], {"x": x}, PARAMETERS, opset=opset)
    assert "batch_norm" in ops(agrees(data, {"x": x}))


def test_training_is_refused() -> None:
    norm = node("BatchNormalization", "x s b m v", "y m2 v2", training_mode=1)
    with pytest.raises(UnsupportedNodesError, match="training_mode=1 is not supported"):
        import_onnx(model([norm], {"x": normal(2, 3)}, PARAMETERS, opset=15))


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 5)])
def test_instance_norm(shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    agrees(model([node("InstanceNormalization", "x s b")], {"x": x}, PARAMETERS), {"x": x})


@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_norm(axis: int) -> None:
    x = normal(2, 4, 5)
    weights = {"s": normal(*x.shape[axis:]), "b": normal(*x.shape[axis:])}
    agrees(model([node("LayerNormalization", "x s b", axis=axis)], {"x": x}, weights), {"x": x})
    three = node("LayerNormalization", "x s", "y mean inverse", axis=axis)
    agrees(model([three], {"x": x}, weights, outputs="y mean inverse"), {"x": x})


@pytest.mark.parametrize(("opset", "parameters"), [(18, 2), (21, 4)])
def test_group_norm(opset: int, parameters: int) -> None:
    x, weights = normal(2, 4, 3, 5), {"s": normal(parameters), "b": normal(parameters)}
    agrees(model([node("GroupNormalization", "x s b", num_groups=2)], {"x": x}, weights, opset=opset), {"x": x})


def test_rms_norm() -> None:
    x = normal(2, 4, 5)
    agrees(model([node("RMSNormalization", "x s")], {"x": x}, {"s": normal(5)}, opset=23), {"x": x})


def test_other_normalisations() -> None:
    x = normal(2, 6, 3, 4)
    nodes = [
        node("LRN", "x", "a", size=3, alpha=0.1, beta=0.6, bias=1.5),
        node("LRN", "x", "b", size=5),
        node("MeanVarianceNormalization", "x", "c"),
        node("LpNormalization", "x", "d", axis=1, p=2),
        node("LpNormalization", "x", "e", axis=-1, p=1),
    ]
    agrees(model(nodes, {"x": x}, outputs="a b c d e", opset=13), {"x": x})
