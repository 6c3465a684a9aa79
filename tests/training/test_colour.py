"""Contrast instead of colours: signs come out bright on dark, whatever their colours were."""

import numpy as np
import pytest

from nascompiler.training.colour import colour_contrast


def sign(foreground, background):
    image = np.empty((1, 8, 8, 3), np.uint8)
    image[:] = background
    image[0, 2:4, 3:5] = foreground
    return image


@pytest.mark.parametrize(
    ("foreground", "background"),
    [((250, 20, 20), (10, 10, 200)), ((0, 0, 0), (255, 255, 255)), ((9, 99, 9), (9, 9, 9))],
)
def test_signs_are_bright_on_dark(foreground, background):
    found = colour_contrast(sign(foreground, background))
    assert found.shape == (1, 8, 8, 3)
    assert (found[0, 2:4, 3:5] == 255).all()
    assert found[0, 0, 0, 0] == 64  # the median, a quarter of the scale
    assert (found[..., 0] == found[..., 1]).all()


def test_an_image_of_one_colour_has_no_contrast():
    assert (colour_contrast(np.full((2, 4, 4, 3), 7, np.uint8)) == 64).all()
