"""Arithmetic, comparisons and logic against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops


@pytest.mark.parametrize("opset", [7, 13, 17])
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Pow"])
def test_binary(operator: str, opset: int) -> None:
    arrays = {"a": np.abs(normal(2, 1, 4)), "b": normal(3, 1)}
    agrees(model([node(operator, "a b")], arrays, opset=opset), arrays)


def test_division_of_integers_truncates() -> None:
    arrays = {"a": np.array([7, -7, 7, -7], np.int64), "b": np.array([2, 2, -2, -2], np.int64)}
    agrees(model([node("Div", "a b")], arrays), arrays)


@pytest.mark.parametrize(
    "operator", ["Sqrt", "Exp", "Log", "Neg", "Abs", "Floor", "Ceil", "Round", "Erf", "Reciprocal", "Sign", "Identity"]
)
def test_unary(operator: str) -> None:
    x = np.abs(normal(3, 5)) + 0.1
    agrees(model([node(operator, "x")], {"x": x}), {"x": x})


@pytest.mark.parametrize("operator", ["Sum", "Mean", "Max", "Min"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_number_of_operands(operator: str, count: int) -> None:
    arrays = {f"x{i}": normal(*(2, 3) if i % 2 else (1, 3)) for i in range(count)}
    agrees(model([node(operator, " ".join(arrays))], arrays), arrays)


def test_power_of_mixed_types() -> None:
    arrays = {"a": normal(4), "b": np.array([0, 1, 2, 3], np.int64)}
    agrees(model([node("Pow", "a b")], arrays), arrays)
    arrays = {"a": np.array([1, 2, 3], np.int64), "b": np.array([2.0, 0.5, 2.9], np.float32)}
    agrees(model([node("Pow", "a b")], arrays), arrays)


@pytest.mark.parametrize("fmod", [0, 1])
def test_modulo(fmod: int) -> None:
    arrays = {"a": np.array([-4, 7, 5, 4], np.int32), "b": np.array([2, -3, 8, -3], np.int32)}
    agrees(model([node("Mod", "a b", fmod=fmod)], arrays), arrays)


def test_floating_point_modulo_needs_fmod_before_opset_28() -> None:
    arrays = {"a": normal(3), "b": normal(3)}
    with pytest.raises(UnsupportedNodesError, match="fmod=0"):
        import_onnx(model([node("Mod", "a b")], arrays))


@pytest.mark.parametrize("operator", ["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"])
def test_comparisons(operator: str) -> None:
    arrays = {"a": np.round(normal(4, 5)), "b": np.round(normal(5))}
    agrees(model([node(operator, "a b")], arrays), arrays)


def test_logic_and_selection() -> None:
    arrays = {"a": normal(4, 5), "b": normal(5)}
    nodes = [
        node("Less", "a b", "less"),
        node("Greater", "a half", "greater"),
        node("And", "less greater", "both"),
        node("Or", "less greater", "either"),
        node("Xor", "both either", "one"),
        node("Not", "one", "none"),
        node("Where", "none a b"),
    ]
    agrees(model(nodes, arrays, {"half": np.array(0.5, np.float32)}), arrays)


def test_not_a_number_and_infinity() -> None:
    x = np.array([1, np.nan, np.inf, -np.inf], np.float32)
    nodes = [node("IsNaN", "x", "n"), node("IsInf", "x", "i"), node("IsInf", "x", "p", detect_negative=0)]
    agrees(model(nodes, {"x": x}, outputs="n i p", opset=17), {"x": x})


def test_clip_by_attributes_and_by_operands() -> None:
    x = normal(20) * 4
    agrees(model([node("Clip", "x", min=-1.5, max=2.0)], {"x": x}, opset=7), {"x": x})
    bounds = {"lo": np.array(-1.0, np.float32), "hi": np.array(6.0, np.float32)}
    for inputs in ("x lo hi", "x lo", "x _ hi", "x"):
        agrees(model([node("Clip", inputs)], {"x": x}, bounds, opset=13), {"x": x})
    graph = agrees(model([node("Clip", "x lo hi")], {"x": x, **bounds}, opset=13), {"x": x, **bounds})
    assert ops(graph) == ["maximum", "minimum"]


def test_clip_of_integers_beyond_what_a_float_holds() -> None:
    x = np.array([2**60 + 1, 5], np.int64)
    graph = agrees(model([node("Clip", "x _ hi")], {"x": x}, {"hi": np.array(2**60 - 1)}, opset=13), {"x": x})
    assert ops(graph) == ["minimum"]


@pytest.mark.parametrize("to", [np.int32, np.uint8, np.bool_, np.float64, np.float16])
def test_cast(to: type) -> None:
    x = np.array([0.0, 1.7, 3.2], np.float32)
    agrees(model([node("Cast", "x", to=int(helper.np_dtype_to_tensor_dtype(np.dtype(to))))], {"x": x}), {"x": x})
    agrees(model([node("CastLike", "x like")], {"x": x, "like": np.zeros(1, to)}), {"x": x, "like": np.zeros(1, to)})
