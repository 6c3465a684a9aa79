"""Convolution and its transpose against torch; shapes, costs and messages."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nascompiler.ir.errors import ModelError
from nascompiler.ir.ops import OPS, InferenceError
from nascompiler.ir.types import DType, TensorType
from tests.ir.dialects.nn.running import NCHW_TO_NHWC, NHWC_TO_NCHW, close, infer, run, typed

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def layers(draw):
    """Shapes and attributes of a convolution whose windows fit."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    per_group, multiplier = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    kernel, dilation, strides = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(*[st.integers(0, 2)] * 4))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [max(1, s - padding[i] - padding[i + 2]) + draw(st.integers(0, 6)) for i, s in enumerate(spans)]
    x = (draw(st.integers(1, 2)), *size, groups * per_group)
    attributes = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return x, kernel, per_group, groups * multiplier, attributes, draw(st.booleans()), draw(st.integers(0, 2**32 - 1))


def arrays(seed, x, weight, bias):
    generator = np.random.default_rng(seed)
    return [generator.standard_normal(shape).astype(np.float32) if shape else None for shape in (x, weight, bias)]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(layers())
def test_convolution_equals_torch(layer):
    torch = pytest.importorskip("torch")
    shape, kernel, per_group, features, attributes, with_bias, seed = layer
    x, weight, bias = arrays(seed, shape, (*kernel, per_group, features), (features,) if with_bias else None)
    top, left, bottom, right = attributes["padding"]
    image = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0))).transpose(NHWC_TO_NCHW)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image.copy()),
        torch.from_numpy(weight.transpose(3, 2, 0, 1).copy()),
        None if bias is None else torch.from_numpy(bias),
        stride=attributes["strides"],
        dilation=attributes["dilation"],
        groups=attributes["groups"],
    ).numpy()
    result = run("conv2d", x, weight, bias, **attributes)
    close(result, expected.transpose(NCHW_TO_NHWC), tolerance=3e-5)
    assert infer("conv2d", shape, weight.shape, None if bias is None else bias.shape, **attributes) == result.shape


@pytest.mark.parametrize("channels", [1, 3, 17])
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_equals_torch(channels, multiplier, kernel, stride):
    torch = pytest.importorskip("torch")
    x, weight, bias = arrays(
        3, (2, 9, 8, channels), (kernel, kernel, 1, channels * multiplier), (channels * multiplier,)
    )
    pad = kernel // 2
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x.transpose(NHWC_TO_NCHW).copy()),
        torch.from_numpy(weight.transpose(3, 2, 0, 1).copy()),
        torch.from_numpy(bias),
        stride=stride,
        padding=pad,
        groups=channels,
    ).numpy()
    result = run("conv2d", x, weight, bias, strides=(stride, stride), padding=(pad,) * 4, groups=channels)
    close(result, expected.transpose(NCHW_TO_NHWC), tolerance=3e-5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(layers(), st.data())
def test_transposed_convolution_equals_torch(layer, data):
    torch = pytest.importorskip("torch")
    shape, kernel, per_group, features, attributes, with_bias, seed = layer
    strides, dilation, groups = attributes["strides"], attributes["dilation"], attributes["groups"]
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilation, strict=True))
    full = [(shape[i + 1] - 1) * strides[i] + dilation[i] * (kernel[i] - 1) + 1 + extra[i] for i in (0, 1)]
    crop = [min(p, (full[i % 2] - 1) // 2) for i, p in enumerate(attributes["padding"])]
    x, weight, bias = arrays(
        seed, shape, (*kernel, per_group * groups, features // groups), (features,) if with_bias else None
    )
    expected = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(x.transpose(NHWC_TO_NCHW).copy()),
        torch.from_numpy(weight.transpose(2, 3, 0, 1).copy()),
        None if bias is None else torch.from_numpy(bias),
        stride=strides,
        output_padding=extra,
        dilation=dilation,
        groups=groups,
    ).numpy()
    top, left, bottom, right = crop
    expected = expected.transpose(NCHW_TO_NHWC)[:, top : full[0] - bottom, left : full[1] - right]
    options = {**attributes, "padding": tuple(crop), "output_padding": extra}
    result = run("conv2d_transpose", x, weight, bias, **options)
    close(result, expected, tolerance=3e-5)
    assert (
        infer("conv2d_transpose", shape, weight.shape, None if bias is None else bias.shape, **options) == result.shape
    )


def test_half_precision_is_accumulated_in_single():
    x = np.ones((1, 1, 1, 4096), np.float16)
    assert run("conv2d", x, np.ones((1, 1, 4096, 1), np.float16)).item() == 4096
    assert run("conv2d", x, np.ones((1, 1, 4096, 1), np.float16)).dtype == np.float16


def test_a_large_image_is_unfolded_in_parts(monkeypatch):
    x, weight, _ = arrays(5, (2, 9, 8, 3), (3, 3, 3, 4), None)
    whole = run("conv2d", x, weight, padding=(1, 1, 1, 1))
    monkeypatch.setattr("nascompiler.ir.dialects.nn.convolution._PATCH_ELEMENTS", 500)
    close(run("conv2d", x, weight, padding=(1, 1, 1, 1)), whole)


def test_what_is_known_of_the_shape_is_inferred():
    weight = (3, 3, 8, 16)
    assert infer("conv2d", ("N", 9, None, 8), weight) == ("N", 7, None, 16)
    assert infer("conv2d", (None, "H", 9, None), weight, strides=(2, 2)) == (None, None, 4, 16)
    assert infer("conv2d", (1, 9, 9, "C"), (3, 3, None, "O"), (24,)) == (1, 7, 7, 24)
    assert infer("conv2d_transpose", ("N", 4, "W", 8), (2, 2, 8, None), strides=(2, 2)) == ("N", 8, None, None)


@pytest.mark.parametrize(
    ("operands", "attributes", "message"),
    [
        (
            ((1, 8, 8, 5), (3, 3, 4, 6)),
            {},
            r"weight has shape \[3, 3, 4, 6\]; its dimension 2 must be 5 \(the channels",
        ),
        (((1, 8, 8, 5), (3, 3, 2, 6)), {"groups": 2}, "channel count of x is 5; it must be a multiple of 2"),
        (((1, 8, 8, 4), (3, 3, 2, 5)), {"groups": 2}, "output channels.* is 5; it must be a multiple of 2"),
        (((1, 8, 8, 5), (3, 3, 5, 6), (7,)), {}, r"bias has shape \[7\]; its dimension 0 must be 6"),
        (((1, 4, 8, 5), (5, 3, 5, 6)), {}, "height of x is 4, with padding 4: smaller than the kernel, which is 5"),
        (((1, 8, 4, 5), (3, 3, 5, 6)), {"dilation": (1, 2)}, "width of x is 4.*with dilation 2 and spans 5"),
        (((1, 8, 8), (3, 3, 5, 6)), {}, "x is .* must have 4 dimensions"),
        (((1, 8, 8, 5), typed((3, 3, 5, 6), DType.F16)), {}, "weight is f16 but x is f32"),
        ((typed((1, 8, 8, 5), DType.I8), (3, 3, 5, 6)), {}, "x is i8; accepted: f16, f32, f64"),
    ],
)
def test_what_does_not_fit_is_named(operands, attributes, message):
    with pytest.raises(InferenceError, match=message) as caught:
        infer("conv2d", *operands, **attributes)
    assert str(caught.value).startswith("nn.conv2d: ")


def test_a_transposed_convolution_that_crops_everything_is_refused():
    with pytest.raises(InferenceError, match="padding 4 leaves nothing"):
        infer("conv2d_transpose", (1, 2, 2, 3), (2, 2, 3, 4), padding=(2, 0, 2, 0))


@pytest.mark.parametrize("attributes", [{"padding": (-1, 0, 0, 0)}, {"strides": (0, 1)}, {"groups": 0}, {"strides": 2}])
def test_impossible_attributes_are_refused(attributes):
    with pytest.raises(ModelError, match=f"attribute {next(iter(attributes))!r} is .*; accepted"):
        infer("conv2d", (1, 8, 8, 3), (3, 3, 3, 4), **attributes)


def test_cost_counts_multiply_accumulates():
    def cost(op, x, weight, **attributes):
        record, types = OPS[f"nn.{op}"], [TensorType(x), TensorType(weight), None]
        complete = record.complete_attributes(attributes)
        return record.macs(record.infer(*types, **complete), *types, **complete)

    assert cost("conv2d", (1, 8, 8, 6), (3, 3, 6, 10), padding=(1, 1, 1, 1)) == 64 * 9 * 6 * 10
    assert cost("conv2d", (2, 8, 8, 6), (5, 5, 1, 6), padding=(2, 2, 2, 2), groups=6) == 2 * 64 * 25 * 6
    assert cost("conv2d_transpose", (1, 4, 4, 6), (2, 2, 6, 5), strides=(2, 2), groups=2) == 16 * 4 * 6 * 5
