"""Reshaping: what is inferred of symbolic shapes, against NumPy and torch on values."""

import numpy as np
import pytest

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType, Quantization, TensorType
from tests.ir.dialects.nn.running import close, infer, onnx_run, run
from tests.ir.op_examples import normal


@pytest.mark.parametrize(
    ("x", "shape", "result"),
    [
        ((2, 3, 4), (6, 4), (6, 4)),
        ((2, 3, 4), (-1, 4), (6, 4)),
        ((2, 3, 4), (-1,), (24,)),
        ((1,), (), ()),
        ((0, 3), (0, 5), (0, 5)),
        ((0, 3), (-1, 5), (0, 5)),
        (("N", 1, 1, 8), (-1, 8), ("N", 8)),
        (("N", 2, 4), (-1, 8), ("N", 8)),
        (("N", 2, 4), (-1, 4), (None, 4)),
        (("N", "M"), (-1,), (None,)),
        ((None, 8), (-1, 8), (None, 8)),
        (("N", 8), (4, 2), (4, 2)),
    ],
)
def test_reshape_infers(x, shape, result):
    assert infer("reshape", x, shape=shape) == result
    if all(isinstance(d, int) for d in x):
        values = normal(*x)
        close(run("reshape", values, shape=shape), values.reshape(result))


@pytest.mark.parametrize(
    ("x", "shape", "message"),
    [
        ((2, 3), (4, 2), r"x \[2, 3\] has 6 elements; shape \[4, 2\] has 8; they must be equal"),
        ((2, 3), (4, -1), r"x \[2, 3\] does not fit shape \[4, -1\]: 6 elements are no multiple of 4"),
        ((2, 3), (-1, -1), r"shape is \[-1, -1\]; accepted: sizes >= 0 and at most one -1"),
        ((0, 3), (0, -1), r"shape \[0, -1\] has both -1 and a 0"),
    ],
)
def test_a_reshape_that_does_not_fit_is_refused(x, shape, message):
    with pytest.raises(InferenceError, match=r"nn\.reshape: " + message):
        infer("reshape", x, shape=shape)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_flatten_equals_onnxruntime(axis):
    pytest.importorskip("onnxruntime")
    x = normal(2, 3, 5)
    result = run("flatten", x, axis=axis)
    close(result, onnx_run("Flatten", x, axis=axis))
    assert infer("flatten", x.shape, axis=axis) == result.shape


def test_flatten_of_symbolic_shapes():
    assert infer("flatten", ("N", 2, 3)) == ("N", 6)
    assert infer("flatten", ("N", 2, "M")) == ("N", None)
    assert infer("flatten", ("N", 2, 3), axis=0) == (1, None)
    assert infer("flatten", ("N", 1, 1), axis=3) == ("N", 1)
    with pytest.raises(InferenceError, match="axis 4 is out of range for 3 dimensions; accepted: -3 to 3"):
        infer("flatten", (1, 2, 3), axis=4)


def test_squeeze_and_unsqueeze_are_inverse():
    x = normal(3, 4)
    wide = run("unsqueeze", x, axes=(0, -1, 2))
    assert wide.shape == (1, 3, 1, 4, 1)
    close(run("squeeze", wide, axes=(0, -1, 2)), x)
    assert infer("unsqueeze", ("N", 4), axes=(1,)) == ("N", 1, 4)
    assert infer("squeeze", ("N", None, 4), axes=(1,)) == ("N", 4)
    with pytest.raises(InferenceError, match=r"axes \[0\]: dimension 0 of x \[3, 4\] is not 1"):
        infer("squeeze", (3, 4), axes=(0,))
    with pytest.raises(InferenceError, match=r"axes \[0, -3\] names an axis twice"):
        infer("unsqueeze", (3,), axes=(0, -3))


def test_transpose_permutes():
    x = normal(2, 3, 4)
    result = run("transpose", x, permutation=(2, 0, 1))
    assert all(result[k, i, j] == x[i, j, k] for i, j, k in np.ndindex(2, 3, 4))
    assert infer("transpose", ("N", 3, None), permutation=(2, 0, 1)) == (None, "N", 3)
    with pytest.raises(InferenceError, match=r"permutation \[0, 2\] does not fit x \[2, 3\]"):
        infer("transpose", (2, 3), permutation=(0, 2))


def test_expand_broadcasts_both_ways():
    x = normal(3, 1)
    close(run("expand", x, shape=(2, 1, 4)), np.broadcast_to(x, (2, 3, 4)))
    close(run("expand", x, shape=(1,)), x)
    assert infer("expand", ("N", 1), shape=(1, 4)) == ("N", 4)
    assert infer("expand", ("N",), shape=(3,)) == (3,)
    with pytest.raises(InferenceError, match=r"x \[3\], shape \[2\]"):
        infer("expand", (3,), shape=(2,))


@pytest.mark.parametrize("axis", [None, 1])
def test_moving_elements_keeps_a_quantisation_of_the_whole_tensor(axis):
    from nascompiler.ir.builder import Builder

    scales = Quantization.per_tensor(0.5) if axis is None else Quantization.per_axis([0.5, 1.0], [0, 0], axis)
    builder = Builder()
    x = builder.input("x", TensorType((3, 2), DType.I8, scales))
    assert builder.nn.reshape(x, shape=(6,)).type.quantization == (scales if axis is None else None)
    assert builder.nn.concat(x, x, axis=0).type.quantization == (scales if axis is None else None)
