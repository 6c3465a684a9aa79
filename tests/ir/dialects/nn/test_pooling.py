"""Pooling against torch and onnxruntime; shapes and messages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType, Quantization, TensorType
from tests.ir.dialects.nn.running import NCHW_TO_NHWC, NHWC_TO_NCHW, close, infer, onnx_run, run
from tests.ir.op_examples import normal, whole

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def pools(draw):
    kernel, strides, dilation = draw(pair), draw(pair), draw(pair)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padding = tuple(draw(st.integers(0, spans[i % 2] - 1)) // dilation[i % 2] for i in range(4))
    size = [draw(st.integers(spans[i], spans[i] + 6)) for i in (0, 1)]
    x = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).standard_normal(
        (draw(st.integers(1, 2)), *size, draw(st.integers(1, 5)))
    )
    attributes = {"kernel": kernel, "strides": strides, "padding": padding, "dilation": dilation}
    return x.astype(np.float32), attributes


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pools(), st.sampled_from(["MaxPool", "AveragePool", "include"]))
def test_pooling_equals_onnxruntime(pool, kind):
    pytest.importorskip("onnxruntime")
    x, attributes = pool
    options = {
        "kernel_shape": attributes["kernel"],
        "strides": attributes["strides"],
        "pads": attributes["padding"],
        "dilations": attributes["dilation"],
    }
    if kind == "MaxPool":
        ours, op = run("max_pool2d", x, **attributes), kind
    else:
        ours, op = run("average_pool2d", x, count_include_pad=kind == "include", **attributes), "AveragePool"
        options["count_include_pad"] = int(kind == "include")
    expected = onnx_run(op, x.transpose(NHWC_TO_NCHW).copy(), **options)
    close(ours, expected.transpose(NCHW_TO_NHWC))
    name = "max_pool2d" if kind == "MaxPool" else "average_pool2d"
    assert infer(name, x.shape, **attributes) == ours.shape


@pytest.mark.parametrize("include", [False, True])
def test_average_pooling_equals_torch(include):
    torch = pytest.importorskip("torch")
    x = normal(2, 9, 8, 5)
    expected = torch.nn.functional.avg_pool2d(
        torch.from_numpy(x.transpose(NHWC_TO_NCHW).copy()), 3, 2, 1, count_include_pad=include
    ).numpy()
    result = run("average_pool2d", x, kernel=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1), count_include_pad=include)
    close(result, expected.transpose(NCHW_TO_NHWC))


def test_maximum_of_integers_pads_with_the_lowest():
    x = whole(1, 3, 3, 2, low=-100, high=-50, dtype=np.int8)
    result = run("max_pool2d", x, kernel=(3, 3), padding=(1, 1, 1, 1))
    assert result.dtype == np.int8
    assert result[0, 0, 0].tolist() == x[0, :2, :2].max(axis=(0, 1)).tolist()


def test_global_pooling_is_over_the_image():
    x = normal(2, 3, 5, 7)
    close(run("global_average_pool", x), x.mean(axis=(1, 2), keepdims=True))
    close(run("global_max_pool", x), x.max(axis=(1, 2), keepdims=True))


def test_the_mean_of_many_is_accurate():
    x = np.full((1, 1000, 1000, 1), np.float32(0.1))
    assert run("global_average_pool", x).item() == np.float32(0.1)


def test_what_is_known_of_the_shape_is_inferred():
    window = {"kernel": (3, 3), "strides": (2, 2), "padding": (1, 1, 1, 1)}
    assert infer("max_pool2d", ("N", 9, None, "C"), **window) == ("N", 5, None, "C")
    assert infer("average_pool2d", ("N", "H", 8, 3), **window) == ("N", None, 4, 3)
    assert infer("global_average_pool", ("N", None, "W", "C")) == ("N", 1, 1, "C")


def test_a_maximum_of_quantised_integers_stays_quantised():
    from nascompiler.ir.builder import Builder

    builder = Builder()
    x = builder.input("x", TensorType((1, 4, 4, 3), DType.I8, Quantization.per_tensor(0.5, 3)))
    assert builder.nn.max_pool2d(x, kernel=(2, 2)).type.quantization == Quantization.per_tensor(0.5, 3)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"kernel": (5, 2)}, "height of x is 4, with padding 4: smaller than the kernel, which is 5"),
        (
            {"kernel": (2, 2), "padding": (2, 0, 0, 0)},
            r"padding \[2, 0, 0, 0\] is not smaller than the kernel \[2, 2\]",
        ),
        ({"kernel": (2, 3), "dilation": (1, 3)}, "width of x is 5.* spans 7"),
    ],
)
def test_what_does_not_fit_is_named(attributes, message):
    for op in ("max_pool2d", "average_pool2d"):
        with pytest.raises(InferenceError, match=f"nn.{op}: .*{message}"):
            infer(op, (1, 4, 5, 3), **attributes)
