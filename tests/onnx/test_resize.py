"""Upsample and Resize in their versions against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from nascompiler.onnx import UnsupportedNodesError, import_onnx
from tests.onnx.support import agrees, model, node, normal, ops

X = normal(2, 3, 4, 5)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample_and_the_first_resize(mode: str) -> None:
    scales = np.array([1, 1, 2, 3], np.float32)
    upsample = node("Upsample", "x", mode=mode, scales=scales.tolist())
    agrees(model([upsample], {"x": X}, opset=7), {"x": X})
    agrees(model([node("Upsample", "x s", mode=mode)], {"x": X}, {"s": scales}, opset=9), {"x": X})
    agrees(model([node("Resize", "x s", mode=mode)], {"x": X}, {"s": scales}, opset=10), {"x": X})


@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_by_sizes(mode: str, coordinates: str) -> None:
    resize = node("Resize", "x _ _ n", mode=mode, coordinate_transformation_mode=coordinates)
    for height, width in ((8, 10), (3, 7), (1, 1)):
        sizes = {"n": np.array([2, 3, height, width])}
        graph = agrees(model([resize], {"x": X}, sizes, opset=13), {"x": X})
        assert ops(graph) == ["resize"]


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "half_pixel_symmetric"])
def test_nearest_by_scales(coordinates: str, rounding: str) -> None:
    resize = node("Resize", "x _ s", coordinate_transformation_mode=coordinates, nearest_mode=rounding)
    agrees(model([resize], {"x": X}, {"s": np.array([1, 1, 1.7, 0.6], np.float32)}, opset=19), {"x": X})


def test_scales_of_an_unknown_size_stay_dynamic_until_shapes_are_given() -> None:
    scales = {"s": np.array([1, 1, 2, 2], np.float32)}
    data = model([node("Resize", "x _ s")], {"x": X}, scales, opset=13, shapes={"x": [2, 3, "H", "W"]})
    assert ops(agrees(data, {"x": X})) == ["dynamic_resize_scales"]
    assert ops(agrees(data, {"x": X}, shapes={"x": X.shape})) == ["resize"]


def test_sizes_computed_from_another_image() -> None:
    arrays = {"x": X, "like": normal(2, 3, 9, 11)}
    nodes = [
        node("Shape", "like", "shape"),
        node("Slice", "shape two four", "size"),
        node("Shape", "x", "own"),
        node("Slice", "own zero two", "front"),
        node("Concat", "front size", "sizes", axis=0),
        node("Resize", "x _ _ sizes", mode="linear"),
    ]
    weights = {name: np.array([value]) for name, value in (("zero", 0), ("two", 2), ("four", 4))}
    unknown = {"x": ["N", 3, "H", "W"], "like": ["N", 3, "H2", "W2"]}
    data = model(nodes, arrays, weights, opset=13, shapes=unknown)
    assert "dynamic_resize" in ops(agrees(data, arrays))
    given = {name: array.shape for name, array in arrays.items()}
    assert ops(agrees(data, arrays, shapes=given)) == ["resize"]


def test_axes_name_height_and_width() -> None:
    resize = node("Resize", "x _ _ n", axes=[3, 2], mode="linear")
    graph = agrees(model([resize], {"x": X}, {"n": np.array([10, 12])}, opset=18), {"x": X}, runtime=False)
    assert graph.outputs[0].type.shape == (2, 3, 12, 10)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"mode": "cubic"}, "mode='cubic' is not supported"),
        ({"coordinate_transformation_mode": "tf_crop_and_resize"}, "tf_crop_and_resize"),
        ({"antialias": 1, "mode": "linear"}, "antialias=1"),
        ({"keep_aspect_ratio_policy": "not_larger"}, "not_larger"),
    ],
    ids=str,
)
def test_what_is_not_supported_is_refused(attributes: dict[str, object], reason: str) -> None:
    resize = node("Resize", "x _ _ n", **attributes)
    with pytest.raises(UnsupportedNodesError, match=reason):
        import_onnx(model([resize], {"x": X}, {"n": np.array([2, 3, 8, 8])}, opset=18))


def test_scales_of_batch_or_channels_and_broken_corners_are_refused() -> None:
    for scales, how, reason in (
        ([1, 2, 1, 1], {}, "accepted: 1, 1 for batch"),
        ([1, 1, 0.6, 0.6], {"coordinate_transformation_mode": "align_corners"}, "do not give whole sizes"),
    ):
        data = model([node("Resize", "x _ s", **how)], {"x": X}, {"s": np.array(scales, np.float32)}, opset=13)
        with pytest.raises(UnsupportedNodesError, match=reason):
            import_onnx(data)
