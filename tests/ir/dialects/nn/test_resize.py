"""Resizing against ONNX's own reference and onnxruntime; shapes and messages."""

import itertools

import numpy as np
import pytest

from nascompiler.ir.dialects.nn.resize import COORDINATES, ROUNDINGS, scaled_size
from nascompiler.ir.errors import ModelError
from nascompiler.ir.ops import InferenceError
from nascompiler.ir.types import DType
from tests.ir.dialects.nn.running import NCHW_TO_NHWC, NHWC_TO_NCHW, close, infer, onnx_run, run, typed
from tests.ir.op_examples import normal, whole

SIZES = [((4, 5), (8, 10)), ((5, 7), (9, 5)), ((6, 4), (3, 2)), ((3, 3), (1, 7)), ((1, 2), (4, 2)), ((5, 5), (5, 5))]
SCALES = [(2.0, 2.0), (1.5, 0.5), (0.75, 1.3), (4 / 3, 5 / 3)]
MODES = [("linear", "floor"), *(("nearest", rounding) for rounding in ROUNDINGS)]


def reference(x, **attributes):
    """ONNX's reference implementation, which is written apart from any runtime."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    scales, size = attributes["scales"], attributes["size"]
    operands = ["x", "", "scales", ""] if scales else ["x", "", "", "sizes"]
    options = {
        "mode": attributes["mode"],
        "coordinate_transformation_mode": attributes["coordinates"],
        "nearest_mode": attributes["rounding"],
    }
    image = x.transpose(NHWC_TO_NCHW).copy()
    values = {
        "x": image,
        "scales": np.asarray([1, 1, *scales], np.float32),
        "sizes": np.asarray([*image.shape[:2], *size], np.int64),
    }
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(values[n].dtype), None) for n in operands if n
    ]
    node = helper.make_node("Resize", operands, ["y"], **options)
    output = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([node], "one", inputs, [output])
    model = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    return ReferenceEvaluator(model).run(None, {n: values[n] for n in operands if n})[0].transpose(NCHW_TO_NHWC)


@pytest.mark.parametrize(("mode", "rounding"), MODES)
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
def test_resize_by_size_equals_the_onnx_reference(mode, rounding, coordinates):
    for length, size in SIZES:
        x = normal(1, *length, 2)
        attributes = {"size": size, "mode": mode, "rounding": rounding, "coordinates": coordinates, "scales": ()}
        close(run("resize", x, **attributes), reference(x, **attributes).astype(np.float32))


@pytest.mark.parametrize(("mode", "rounding"), MODES)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("by", ["size", "scales"])
def test_resize_equals_onnxruntime(mode, rounding, coordinates, by):
    pytest.importorskip("onnxruntime")
    if coordinates == "tf_half_pixel_for_nn" and mode == "linear":
        pytest.skip("named for nearest neighbours only")
    if coordinates == "half_pixel_symmetric" and mode == "nearest" and by == "scales":
        pytest.skip("ties fall to either side with the rounding of the scale")
    options = {"mode": mode, "nearest_mode": rounding, "coordinate_transformation_mode": coordinates}
    opset = 11 if coordinates == "tf_half_pixel_for_nn" else 19  # later ones dropped it
    absent = np.zeros(0, np.float32) if opset == 11 else None  # where these operands may be empty, but not absent
    for length, size in SIZES if by == "size" else itertools.product([(4, 5), (7, 6), (3, 3)], SCALES):
        x = normal(1, *length, 2)
        image = x.transpose(NHWC_TO_NCHW).copy()
        if by == "size":
            attributes = {"size": size}
            operands = (absent, absent, np.asarray([*image.shape[:2], *size], np.int64))
        else:
            scales = tuple(float(np.float32(s)) for s in size)
            attributes = {
                "size": tuple(scaled_size(n, s) for n, s in zip(length, scales, strict=True)),
                "scales": scales,
            }
            operands = (absent, np.asarray([1, 1, *scales], np.float32))
        expected = onnx_run("Resize", image, *operands, opset=opset, **options).transpose(NCHW_TO_NHWC)
        close(run("resize", x, mode=mode, rounding=rounding, coordinates=coordinates, **attributes), expected)


@pytest.mark.parametrize("align", [False, True])
def test_bilinear_equals_torch(align):
    torch = pytest.importorskip("torch")
    x = normal(2, 5, 7, 3)
    image = torch.from_numpy(x.transpose(NHWC_TO_NCHW).copy())
    expected = torch.nn.functional.interpolate(image, size=(9, 4), mode="bilinear", align_corners=align).numpy()
    result = run(
        "resize", x, size=(9, 4), mode="linear", coordinates="align_corners" if align else "pytorch_half_pixel"
    )
    close(result, expected.transpose(NCHW_TO_NHWC))


def test_doubling_by_nearest_repeats():
    x = whole(1, 3, 2, 4, dtype=np.int8)
    for coordinates, rounding in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")):
        result = run("resize", x, size=(6, 4), coordinates=coordinates, rounding=rounding)
        close(result, x.repeat(2, 1).repeat(2, 2))


def test_scales_round_down_in_single_precision():
    assert scaled_size(10, 0.7) == 7  # 10 * float32(0.7) is 6.99999988, but 7 in float32, as onnxruntime has it
    assert scaled_size(5, 1.5) == 7


def test_shapes_and_messages():
    assert infer("resize", ("N", None, "W", "C"), size=(4, 6)) == ("N", 4, 6, "C")
    with pytest.raises(InferenceError, match="x is u8; mode linear accepts f16, f32 or f64"):
        infer("resize", typed((1, 2, 2, 1), DType.U8), size=(4, 4), mode="linear")
    with pytest.raises(InferenceError, match=r"x \[1, 0, 2, 1\] has no pixels to resize to \[4, 4\]"):
        infer("resize", (1, 0, 2, 1), size=(4, 4))
    with pytest.raises(ModelError, match="'mode' is 'cubic'; accepted: nearest or linear"):
        infer("resize", (1, 2, 2, 1), size=(4, 4), mode="cubic")
    with pytest.raises(ModelError, match=r"'scales' is .*; accepted: an empty list or 2 floats > 0"):
        infer("resize", (1, 2, 2, 1), size=(4, 4), scales=(-1.0, 2.0))
