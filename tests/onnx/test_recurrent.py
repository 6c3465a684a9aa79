"""LSTM against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("states", [False, True])
def test_lstm(direction: str, states: bool) -> None:
    count, hidden, x = (2 if direction == "bidirectional" else 1), 4, normal(5, 2, 3)
    weights = {
        "w": normal(count, 4 * hidden, 3),
        "r": normal(count, 4 * hidden, hidden),
        "b": normal(count, 8 * hidden),
    }
    if states:
        weights |= {"h": normal(count, 2, hidden), "c": normal(count, 2, hidden)}
    lstm = node("LSTM", "x w r b _ h c" if states else "x w r b", "y h1 c1", hidden_size=hidden, direction=direction)
    graph = agrees(model([lstm], {"x": x}, weights, outputs="y h1 c1"), {"x": x})
    assert ops(graph).count("lstm") == count
    arrays = {"x": x, **weights}
    agrees(model([lstm], arrays, outputs="y h1 c1"), arrays)


@pytest.mark.parametrize(
    ("attributes", "inputs", "reason"),
    [
        ({"activations": ["Relu", "Tanh", "Tanh"]}, "x w r", "activations"),
        ({"clip": 1.0}, "x w r", "clip"),
        ({}, "x w r _ n", "sequence_lens"),
        ({"layout": 1}, "x w r", "layout=1"),
    ],
    ids=str,
)
def test_variants_that_are_refused(attributes: dict[str, Any], inputs: str, reason: str) -> None:
    arrays = {"w": normal(1, 16, 3), "r": normal(1, 16, 4), "n": np.array([5, 3], np.int32)}
    lstm = node("LSTM", inputs, hidden_size=4, **attributes)
    with pytest.raises(UnsupportedNodesError, match=reason):
        import_onnx(model([lstm], {"x": normal(5, 2, 3)}, arrays))
