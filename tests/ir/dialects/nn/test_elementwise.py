"""Arithmetic against Python's own on each element, and against onnxruntime; broadcasting of shapes."""

import math
import operator

import numpy as np
import pytest

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType
from tests.ir.dialects.nn.running import close, infer, onnx_run, run, typed
from tests.ir.op_examples import normal, positive, whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.int32, np.int64, np.uint8])
@pytest.mark.parametrize(
    ("op", "python"),
    [("add", operator.add), ("sub", operator.sub), ("mul", operator.mul), ("minimum", min), ("maximum", max)],
)
def test_binary_arithmetic_equals_python(op, python, dtype):
    a, b = whole(3, 4, low=6, high=11, dtype=dtype), whole(4, low=1, high=6, dtype=dtype)
    expected = [[python(p, q) for p, q in zip(row, b.tolist(), strict=True)] for row in a.tolist()]
    close(run(op, a, b), np.asarray(expected, dtype))


def test_division_of_integers_truncates_toward_zero():
    a, b = np.asarray([7, -7, 7, -7, 6, -6, 0], np.int32), np.asarray([2, 2, -2, -2, 3, 3, -5], np.int32)
    assert run("div", a, b).tolist() == [3, -3, -3, 3, 2, -2, 0]
    assert run("div", a, b).tolist() == [math.trunc(p / q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
    assert run("div", np.asarray([200], np.uint8), np.asarray([7], np.uint8)).tolist() == [28]


def test_division_by_zero_is_no_error():
    assert np.isinf(run("div", normal(1), np.zeros(1, np.float32))).all()
    assert run("div", np.asarray([5, -5]), np.asarray([0, 0])).shape == (2,)


def test_remainders_take_the_sign_of_one_side():
    a, b = np.asarray([7, -7, 7, -7], np.int32), np.asarray([3, 3, -3, -3], np.int32)
    assert run("mod", a, b).tolist() == [7 % 3, -7 % 3, 7 % -3, -7 % -3]
    assert run("mod", a, b, fmod=True).tolist() == [math.fmod(p, q) for p, q in zip(a, b, strict=True)]
    close(run("mod", normal(9), positive(9), fmod=True).shape, (9,))


def test_powers_of_integers_truncate():
    a, b = np.asarray([2, -3, 2, 1, -1, -1]), np.asarray([10, 3, -1, -5, -3, -2])
    assert run("pow", a, b).tolist() == [1024, -27, 0, 1, -1, 1]
    assert run("pow", np.asarray([3], np.int64), np.asarray([39], np.int64)).tolist() == [3**39]


@pytest.mark.parametrize(
    ("op", "python"),
    [
        ("neg", operator.neg), ("abs", abs), ("sign", lambda v: (v > 0) - (v < 0)), ("exp", math.exp),
        ("floor", math.floor), ("ceil", math.ceil), ("round", round), ("erf", math.erf),
        ("sqrt", math.sqrt), ("log", math.log), ("reciprocal", lambda v: 1 / v),
    ],
)  # fmt: skip
def test_unary_arithmetic_equals_python(op, python):
    x = positive(5, 7) if op in ("sqrt", "log", "reciprocal") else normal(5, 7, scale=2)
    expected = np.asarray([python(v) for v in x.ravel().tolist()], np.float32).reshape(x.shape)
    close(run(op, x), expected, tolerance=1e-6)
    assert run(op, x.astype(np.float16)).dtype == np.float16


def test_halves_round_to_even():
    assert run("round", np.asarray([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)).tolist() == [-2, -2, -0.0, 0, 2, 2]


@pytest.mark.parametrize(
    ("op", "onnx"), [("div", "Div"), ("pow", "Pow"), ("minimum", "Min"), ("maximum", "Max"), ("prelu", "PRelu")]
)
def test_binary_ops_equal_onnxruntime(op, onnx):
    pytest.importorskip("onnxruntime")
    a, b = normal(2, 3, 5), positive(3, 1)
    a = np.abs(a) if op == "pow" else a
    close(run(op, a, b), onnx_run(onnx, a, b))


@pytest.mark.parametrize("to", [DType.I32, DType.I64, DType.U8, DType.F16, DType.F64, DType.BOOL])
def test_cast_equals_onnxruntime(to):
    pytest.importorskip("onnxruntime")
    from onnx import helper

    x = np.asarray([0.0, 0.4, 0.5, 1.5, 2.999, 200.7], np.float32)
    close(run("cast", x, to=to), onnx_run("Cast", x, to=helper.np_dtype_to_tensor_dtype(to.numpy)))


def test_cast_truncates_negative_numbers_toward_zero():
    assert run("cast", np.asarray([-1.9, -0.5]), to=DType.I32).tolist() == [-1, 0]


def test_nan_survives_the_minimum_and_maximum():
    nan = np.asarray([np.nan], np.float32)
    assert np.isnan(run("minimum", nan, np.zeros(1, np.float32))).all()
    assert np.isnan(run("maximum", np.zeros(1, np.float32), nan)).all()


@pytest.mark.parametrize(
    ("a", "b", "shape"),
    [
        ((2, 3), (3,), (2, 3)),
        ((2, 1, 3), (4, 1), (2, 4, 3)),
        (("N", 3), ("N", 3), ("N", 3)),
        (("N", 3), (1, 3), ("N", 3)),
        (("N", 3), (4, 1), (4, 3)),
        (("N", 3), ("M", 3), (None, 3)),
        ((None, 3), ("N", 3), (None, 3)),
        ((None,), (1,), (None,)),
        ((0, 3), (1, 3), (0, 3)),
        ((), ("N",), ("N",)),
    ],
)
def test_shapes_broadcast(a, b, shape):
    assert infer("add", a, b) == shape
    assert infer("mul", b, a) == shape


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(InferenceError, match=r"nn.add: the shapes do not broadcast: a \[2, 3\], b \[4\]; aligned"):
        infer("add", (2, 3), (4,))


def test_element_types_do_not_mix():
    with pytest.raises(InferenceError, match=r"nn\.mul: b is f16 but a is f32; both must have the same element type"):
        infer("mul", (2,), typed((2,), DType.F16))
    with pytest.raises(InferenceError, match=r"nn\.add: a is bool; accepted: f16, f32"):
        infer("add", typed((2,), DType.BOOL), typed((2,), DType.BOOL))


def test_a_slope_may_not_enlarge_the_operand():
    assert infer("prelu", ("N", 4, 5, 3), (3,)) == ("N", 4, 5, 3)
    with pytest.raises(InferenceError, match=r"slope has shape \[2, 3\], which does not broadcast to \[3\]"):
        infer("prelu", (3,), (2, 3))
    with pytest.raises(InferenceError, match=r"slope has shape \[4\]"):
        infer("prelu", (1, 3), (4,))
