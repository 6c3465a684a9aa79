"""Slices, gathers and pads against Python's own and onnxruntime; shapes and messages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.ir.errors import ModelError
from nascompiler.ir.ops import InferenceError
from tests.ir.dialects.nn.running import close, infer, onnx_run, run
from tests.ir.op_examples import i64, normal

BOUND = st.one_of(st.integers(-9, 9), st.sampled_from([-(2**31), 2**31 - 1, 2**63 - 1, -(2**63)]))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(size=st.integers(0, 7), start=BOUND, end=BOUND, step=st.sampled_from([-3, -2, -1, 1, 2, 3]))
def test_slice_is_a_python_slice(size, start, end, step):
    x = np.arange(2 * size, dtype=np.int32).reshape(2, size)
    attributes = {"axes": (-1,), "starts": (start,), "ends": (end,), "steps": (step,)}
    result = run("slice", x, **attributes)
    assert result.tolist() == [list(range(size * i, size * (i + 1)))[start:end:step] for i in (0, 1)]
    assert infer("slice", x.shape, **attributes) == result.shape


@pytest.mark.parametrize(
    ("axes", "starts", "ends", "steps"),
    [
        ((0, 2), (1, -3), (4, 2**31 - 1), (2, 1)),
        ((1,), (-1,), (-(2**31),), (-1,)),
        ((0, 1), (10, -2), (-10, 100), (-2, 1)),
    ],
)
def test_slice_equals_onnxruntime(axes, starts, ends, steps):
    pytest.importorskip("onnxruntime")
    x = normal(5, 4, 6)
    close(
        run("slice", x, axes=axes, starts=starts, ends=ends, steps=steps),
        onnx_run("Slice", x, i64(*starts), i64(*ends), i64(*axes), i64(*steps)),
    )


def test_slice_keeps_names_of_what_it_does_not_cut():
    whole = {"axes": (0,), "starts": (0,), "ends": (2**31 - 1,), "steps": (1,)}
    assert infer("slice", ("N", "M"), **whole) == ("N", "M")
    assert infer("slice", ("N", "M"), **{**whole, "starts": (1,)}) == (None, "M")
    with pytest.raises(InferenceError, match=r"steps \[0\] has a 0; accepted: any other integer"):
        infer("slice", (3,), **{**whole, "steps": (0,)})
    with pytest.raises(InferenceError, match="must be equally long"):
        infer("slice", (3,), **{**whole, "steps": ()})
    with pytest.raises(InferenceError, match="axes 1 is out of range for 1 dimensions; accepted: -1 to 0"):
        infer("slice", (3,), **{**whole, "axes": (1,)})


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_gather_equals_onnxruntime(axis, shape):
    pytest.importorskip("onnxruntime")
    x = normal(5, 6, 7)
    positions = np.random.default_rng(1).integers(-5, 5, shape)
    result = run("gather", x, positions, axis=axis)
    close(result, onnx_run("Gather", x, np.asarray(positions, np.int64), axis=axis))
    assert infer("gather", x.shape, np.asarray(positions), axis=axis) == result.shape


def test_an_index_out_of_range_is_named():
    with pytest.raises(ModelError, match=r"index 5 is out of range for axis 0 of size 5"):
        run("gather", normal(5, 2), i64(0, 5))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad_equals_onnxruntime(mode):
    pytest.importorskip("onnxruntime")
    x = normal(4, 5)
    before, after = (2, 0), (3, 4)
    result = run("pad", x, before=before, after=after, mode=mode, value=1.5)
    operands = (x, i64(*before, *after), np.asarray(1.5, np.float32)) if mode == "constant" else (x, i64(2, 0, 3, 4))
    close(result, onnx_run("Pad", *operands, mode=mode))


def test_negative_padding_crops():
    x = normal(4, 5)
    close(run("pad", x, before=(-1, 0), after=(0, -2)), x[1:, :-2])
    close(run("pad", x, before=(-1, 1), after=(0, -2)), np.pad(x[1:, :-2], ((0, 0), (1, 0))))
    assert run("pad", x, before=(-2, 0), after=(-2, 0)).shape == (0, 5)


def test_what_is_known_of_the_shape_is_inferred():
    assert infer("pad", ("N", 4, None), before=(0, 1, 1), after=(0, 2, 0)) == ("N", 7, None)
    assert infer("gather", ("N", 5, "C"), i64(1, 2), axis=1) == ("N", 2, "C")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"before": (1,), "after": (1, 1)}, r"must have one entry for each dimension of x \[3, 4\]"),
        (
            {"before": (-2, 0), "after": (-2, 0)},
            r"before -2 and after -2 at axis 0 of x \[3, 4\] crop more than there is",
        ),
        ({"before": (3, 0), "after": (0, 0), "mode": "reflect"}, "reflect padding must be smaller than the 3 elements"),
        ({"before": (-3, 0), "after": (1, 0), "mode": "edge"}, "edge padding needs at least one element"),
    ],
)
def test_padding_that_does_not_fit_is_named(attributes, message):
    with pytest.raises(InferenceError, match=message):
        infer("pad", (3, 4), **attributes)
