"""Varied images hold what the originals hold."""

import numpy as np
import pytest

pytest.importorskip("torch")

from nascompiler.training.augmentation import flipped, recoloured, shifted


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 9, 7, 3), dtype=np.uint8)


def test_shifted_images_are_moved_and_their_edges_repeated(images):
    result = shifted(images, 2, np.random.default_rng(1))
    assert result.shape == images.shape
    offsets = set()
    for image, moved in zip(images, result, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        found = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[y : y + 9, x : x + 7], moved)]
        assert len(found) == 1
        offsets |= set(found)
    assert len(offsets) > 10


def test_no_shift_changes_nothing(images):
    np.testing.assert_array_equal(shifted(images, 0, np.random.default_rng(1)), images)


def test_recoloured_images_have_channels_in_another_order_or_negative(images):
    before = images.copy()
    result = recoloured(images, np.random.default_rng(1))
    np.testing.assert_array_equal(images, before)
    negatives, orders = 0, set()
    for image, made in zip(images, result, strict=True):
        negative = not any(np.array_equal(made[..., 0], image[..., c]) for c in range(3))
        negatives += negative
        channels = (made ^ 255) if negative else made
        order = tuple(
            next(c for c in range(3) if np.array_equal(channels[..., place], image[..., c])) for place in range(3)
        )
        assert sorted(order) == [0, 1, 2]
        orders.add(order)
    assert 10 < negatives < 30
    assert len(orders) == 6


@pytest.mark.parametrize("vary", [lambda x, g: shifted(x, 3, g), recoloured])
def test_the_generator_decides(images, vary):
    one, same, other = (vary(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_half_of_the_images_are_mirrored():
    images = np.random.default_rng(0).integers(0, 256, (200, 4, 5, 3), np.uint8)
    found = flipped(images, np.random.default_rng(1))
    same = (found == images).all((1, 2, 3))
    mirrored = (found == images[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 70 < same.sum() < 130
