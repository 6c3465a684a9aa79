"""Reductions against onnxruntime and NumPy; shapes and messages."""

import numpy as np
import pytest

from nascompiler.ir.ops import InferenceError
from tests.ir.dialects.nn.running import close, infer, onnx_run, run
from tests.ir.op_examples import i64, normal, whole


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axes", [(1,), (0, -1), (-3, 1, 2)])
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
def test_reductions_equal_onnxruntime(name, axes, keepdims):
    pytest.importorskip("onnxruntime")
    x = normal(3, 4, 5)
    result = run(f"reduce_{name}", x, axes=axes, keepdims=keepdims)
    close(result, onnx_run(f"Reduce{name.title()}", x, i64(*axes), keepdims=int(keepdims)))
    assert infer(f"reduce_{name}", x.shape, axes=axes, keepdims=keepdims) == result.shape


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
def test_no_axes_is_the_identity(name):
    x = normal(3, 4)
    close(run(f"reduce_{name}", x, axes=(), keepdims=False), x)


def test_integers_stay_integers():
    x = np.asarray([[-3, -4], [3, 4]], np.int32)
    assert run("reduce_mean", x, axes=(1,), keepdims=False).tolist() == [-3, 3]
    assert run("reduce_sum", whole(9, dtype=np.int8), axes=(0,)).dtype == np.int8


def test_reducing_nothing_gives_the_neutral_element():
    empty = np.zeros((2, 0), np.float32)
    assert run("reduce_max", empty, axes=(1,), keepdims=False).tolist() == [-np.inf] * 2
    assert run("reduce_sum", empty, axes=(1,), keepdims=False).tolist() == [0, 0]
    assert run("reduce_prod", empty, axes=(1,), keepdims=False).tolist() == [1, 1]


def test_the_sum_of_many_is_accurate():
    assert run("reduce_sum", np.full(10**6, np.float32(0.1)), axes=(0,)).item() == np.float32(np.float32(0.1) * 1e6)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("select_last", [True, False])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("name", ["max", "min"])
def test_arguments_equal_onnxruntime(name, axis, select_last, keepdims):
    pytest.importorskip("onnxruntime")
    x = whole(5, 6, low=0, high=3)
    result = run(f"arg{name}", x, axis=axis, select_last=select_last, keepdims=keepdims)
    expected = onnx_run(f"Arg{name.title()}", x, axis=axis, select_last_index=int(select_last), keepdims=int(keepdims))
    close(result, expected)


def test_shapes_and_messages():
    assert infer("reduce_mean", ("N", None, 3), axes=(1,)) == ("N", 1, 3)
    assert infer("reduce_sum", ("N", None, 3), axes=(-1, 0), keepdims=False) == (None,)
    assert infer("argmax", ("N", 10), axis=-1, keepdims=False) == ("N",)
    with pytest.raises(InferenceError, match=r"nn\.reduce_sum: axes 2 is out of range for 2 dimensions"):
        infer("reduce_sum", (2, 3), axes=(2,))
    with pytest.raises(InferenceError, match=r"axis 0 of x \[0, 3\] has no elements to choose from"):
        infer("argmax", (0, 3), axis=0)
