"""Generated images: from the seed alone, and like photographs in what ranges depend on."""

import numpy as np
import pytest

from nascompiler.quantization.generated import generated_images, generated_samples, natural_image
from nascompiler.quantization.network_inputs import image_input
from nascompiler.quantization.normalization import ImageOptions, pixel_normalization
from tests.quantization.networks import graph_of


def images(count, seed, shape=(1, 3, 32, 48)):
    graph = graph_of(x=shape)
    image = image_input(graph)
    return [s["x"] for s in generated_images(count, seed, image, pixel_normalization(graph, image, ImageOptions()))]


def test_image_i_depends_on_the_seed_and_i_alone():
    assert np.array_equal(images(5, 3)[4], images(9, 3)[4])
    assert not np.array_equal(images(1, 3)[0], images(1, 4)[0])
    assert not np.array_equal(*images(2, 3))


@pytest.mark.parametrize("shape", [(1, 32, 48, 3), (1, 3, 32, 48), (1, 1, 9, 7), (2, 3, 8, 8)])
def test_the_layout_is_the_networks(shape):
    for image in images(3, 0, shape):
        assert image.shape == (1, *shape[1:])
        assert image.dtype == np.float32
        assert np.isfinite(image).all()


@pytest.fixture(scope="module")
def pixels():
    return np.stack([natural_image(np.random.default_rng([0, i]), 128, 128, 3) for i in range(12)])


def test_pixels_are_pixels_and_use_their_range(pixels):
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    assert 60 < pixels.mean() < 190
    assert (pixels.max(axis=(1, 2, 3)) - pixels.min(axis=(1, 2, 3))).mean() > 150


def test_the_amplitude_falls_about_as_one_over_the_frequency(pixels):
    spectrum = np.abs(np.fft.fft2(pixels.mean(axis=-1))).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    counted = (frequency > 2 / 128) & (frequency < 0.4)
    slope, _ = np.polyfit(np.log(frequency[counted]), np.log(spectrum[counted]), 1)
    assert -1.8 < slope < -0.8


def test_channels_differ_less_than_pixels(pixels):
    assert 0 < pixels.std(axis=-1).mean() < 0.6 * pixels.std(axis=(1, 2)).mean()


def test_neighbours_are_alike_with_edges_between(pixels):
    steps = np.abs(np.diff(pixels.mean(axis=-1), axis=2)).reshape(-1)
    assert np.median(steps) < 10
    assert (steps > 30).mean() > 0.002


def test_inputs_that_are_no_images_get_noise():
    graph = graph_of(x=(1, 64), y=(1, 8, 8, 3))
    first, second = generated_samples(2, 0, graph)
    assert (first["x"].shape, first["y"].shape) == ((1, 64), (1, 8, 8, 3))
    assert not np.array_equal(first["x"], second["x"])
    assert np.array_equal(next(generated_samples(1, 0, graph))["x"], first["x"])
