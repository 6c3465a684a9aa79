"""Pixels become numbers by what is given, what the graph says, or ImageNet's statistics."""

import numpy as np
import pytest

from nascompiler.ir import DType
from nascompiler.ir.errors import UsageError
from nascompiler.quantization.network_inputs import image_input
from nascompiler.quantization.normalization import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    ImageOptions,
    pixel_normalization,
)
from tests.quantization.networks import graph_of


def made(shape=(1, 4, 4, 3), attributes=None, **options):
    graph = graph_of(x=shape)
    graph.attributes |= attributes or {}
    return pixel_normalization(graph, image_input(graph), ImageOptions(**options))


def test_imagenet_unless_told_otherwise():
    pixels = np.full((4, 4, 3), 255, np.float32)
    found = made()(pixels, DType.F32)
    assert found.dtype == np.float32
    assert found[0, 0] == pytest.approx((1 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_DEVIATION), rel=1e-6)


def test_options_go_before_attributes_and_those_before_the_default():
    noted = {"mean": (0.1, 0.2, 0.3), "std": 0.5}
    assert made(attributes=noted).mean == (0.1, 0.2, 0.3)
    assert made(attributes=noted).deviation == (0.5, 0.5, 0.5)
    assert made(attributes=noted, mean=[0.7]).mean == (0.7, 0.7, 0.7)


def test_grey_takes_the_average():
    assert made((1, 1, 4, 4)).mean == pytest.approx([np.mean(IMAGENET_MEAN)])


def test_blue_first():
    normalize = made(channel_order="BGR")
    assert normalize.mean == IMAGENET_MEAN[::-1]
    pixels = np.zeros((4, 4, 3), np.float32) + np.array([255, 0, 0], np.float32)
    red = normalize(pixels, DType.F32)[0, 0, 2]
    assert red == pytest.approx((1 - IMAGENET_MEAN[0]) / IMAGENET_DEVIATION[0], rel=1e-6)
    assert made(channel_order="BGR", mean=(1, 2, 3)).mean == (1, 2, 3)  # in the order of the network's channels


def test_a_u8_input_takes_pixels_as_they_are():
    assert made()(np.array([[[0.4, 254.6, 300]]], np.float32), DType.U8).tolist() == [[[0, 255, 255]]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mean": (1, 2)}, "mean has 2 numbers; accepted: 1, or 3 for the channels"),
        ({"deviation": (1, 2, 0)}, r"std \(1.0, 2.0, 0.0\) must be positive"),
        ({"mean": (float("nan"),)}, "is not finite"),
        ({"channel_order": "RBG"}, "channel order 'RBG': accepted are RGB or BGR"),
        ({"attributes": {"mean": "imagenet"}}, "the attribute mean of net is 'imagenet'; accepted: numbers"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        made(**options)
