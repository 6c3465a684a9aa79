"""Comparisons, logic and selection against Python's own on each element."""

import operator

import numpy as np
import pytest

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType, TensorType
from tests.ir.dialects.nn.running import infer, run, typed
from tests.ir.op_examples import normal, truth, whole


@pytest.mark.parametrize(
    ("op", "python"),
    [
        ("equal", operator.eq), ("less", operator.lt), ("greater", operator.gt),
        ("less_equal", operator.le), ("greater_equal", operator.ge),
    ],
)  # fmt: skip
def test_comparisons_equal_python(op, python):
    a, b = whole(6, 5, low=0, high=3), whole(5, low=0, high=3)
    result = run(op, a, b)
    assert result.dtype == np.bool_
    assert result.tolist() == [[python(p, q) for p, q in zip(row, b.tolist(), strict=True)] for row in a.tolist()]


@pytest.mark.parametrize(
    ("op", "python"), [("logical_and", operator.and_), ("logical_or", operator.or_), ("logical_xor", operator.xor)]
)
def test_logic_equals_python(op, python):
    a, b = truth(20), truth(20)
    assert run(op, a, b).tolist() == [python(p, q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]


def test_not():
    assert run("logical_not", np.asarray([True, False])).tolist() == [False, True]


def test_where_broadcasts_all_three():
    condition, x, y = truth(4, 1, 1), normal(3, 1), normal(5)
    result = run("where", condition, x, y)
    assert result.shape == (4, 3, 5)
    for i, j, k in np.ndindex(4, 3, 5):
        assert result[i, j, k] == (x[j, 0] if condition[i, 0, 0] else y[k])


def test_shapes_and_types():
    boolean = typed(("N", 1), DType.BOOL)
    assert infer("where", boolean, (1, 3), (3,)) == ("N", 3)
    assert infer("less", ("N", 1), (4,)) == ("N", 4)
    with pytest.raises(InferenceError, match=r"nn\.where: condition is f32; accepted: bool"):
        infer("where", (2,), (2,), (2,))
    with pytest.raises(InferenceError, match=r"nn\.where: y is i64 but x is f32"):
        infer("where", typed((2,), DType.BOOL), (2,), typed((2,), DType.I64))
    with pytest.raises(InferenceError, match=r"condition \[2\], x \[3\], y \[3\]"):
        infer("where", typed((2,), DType.BOOL), (3,), (3,))
    with pytest.raises(InferenceError, match=r"nn\.logical_and: a is f32; accepted: bool"):
        infer("logical_and", (2,), (2,))


def test_the_element_type_is_known_where_the_shape_is_not():
    from nascompiler.ir.builder import Builder

    builder = Builder()
    x = builder.input("x", TensorType(None))
    condition = builder.nn.less(x, x)
    assert condition.type == TensorType(None, DType.BOOL)
    assert builder.nn.where(condition, x, x).type == TensorType(None, DType.F32)
    assert builder.nn.argmax(x, axis=0).type.dtype == DType.I64
    assert builder.nn.shape(x).type.dtype == DType.I64
    assert builder.nn.cast(x, to=DType.I8).type.dtype == DType.I8
