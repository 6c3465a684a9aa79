"""Matrix products against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest

from nascompiler.ir.types import Array
from tests.onnx.support import agrees, model, node, normal, ops


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (4, 5)), ((2, 1, 3, 4), (6, 4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,))]
)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    arrays = {"a": normal(*a), "b": normal(*b)}
    agrees(model([node("MatMul", "a b")], arrays), arrays)


@pytest.mark.parametrize("opset", [7, 9, 13])
@pytest.mark.parametrize("transposed", [{}, {"transA": 1}, {"transB": 1}, {"transA": 1, "transB": 1}])
@pytest.mark.parametrize("factors", [{}, {"alpha": 0.5, "beta": 2.0}, {"beta": 0.0}])
def test_gemm(opset: int, transposed: dict[str, Any], factors: dict[str, Any]) -> None:
    a = normal(*((4, 3) if "transA" in transposed else (3, 4)))
    b = normal(*((5, 4) if "transB" in transposed else (4, 5)))
    gemm = node("Gemm", "a b c", **transposed, **factors)
    graph = agrees(model([gemm], {"a": a}, {"b": b, "c": normal(5)}, opset=opset), {"a": a})
    assert ops(graph) == ["linear"]
    arrays = {"a": a, "b": b, "c": normal(3, 1)}
    agrees(model([gemm], arrays, opset=opset), arrays)


@pytest.mark.parametrize("bias", [normal(1, 5), normal(1), normal(3, 5), None])
def test_gemm_with_other_biases(bias: Array | None) -> None:
    a, weights = normal(3, 4), {"b": normal(4, 5), **({} if bias is None else {"c": bias})}
    agrees(model([node("Gemm", "a b" if bias is None else "a b c")], {"a": a}, weights, opset=13), {"a": a})
