"""Synthetic photographs: normalised images whose spectrum falls as 1/f, as that of natural ones does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZE = 224
CALIBRATION_IMAGES = 32
TEST_IMAGES = 8


def images(count: int, seed: int) -> NDArray[np.float32]:
    """float32 [count, 3, SIZE, SIZE], channels correlated, clipped to the range of ImageNet's normalised pixels."""
    generator = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(SIZE)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = 1 / SIZE
    shape = (count, 3, SIZE, SIZE)
    spectrum = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    pixels = np.fft.ifft2(spectrum / radius).real
    pixels = (pixels - pixels.mean((2, 3), keepdims=True)) / pixels.std((2, 3), keepdims=True)
    pixels = 0.7 * pixels[:, :1] + 0.5 * pixels
    clipped: NDArray[np.float32] = np.clip(pixels, -2.1, 2.6).astype(np.float32)
    return clipped


def calibration_images() -> NDArray[np.float32]:
    """What every int8 file is calibrated with; none of them is an evaluation image."""
    return images(CALIBRATION_IMAGES, seed=11)


def evaluation_images() -> NDArray[np.float32]:
    """What answers are compared on."""
    return images(TEST_IMAGES, seed=5)
