"""Variations of training images that do not change what they show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shifted(images: NDArray[np.uint8], most: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """Each image [N, H, W, C] moved by up to `most` pixels along height and width; what comes in repeats the edge."""
    if most == 0:
        return images
    count, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    moved = np.empty_like(images)
    for index, (top, left) in enumerate(generator.integers(0, 2 * most + 1, (count, 2))):
        moved[index] = padded[index, top : top + height, left : left + width]
    return moved


def recoloured(images: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Each image [N, H, W, C] with its channels in another order, and half of them as negatives: for tasks in which
    colour tells nothing."""
    count, *_, channels = images.shape
    orders = generator.permuted(np.tile(np.arange(channels), (count, 1)), axis=1)
    result = np.empty_like(images)
    for image, place, order in zip(images, result, orders, strict=True):
        for channel, source in enumerate(order):
            place[..., channel] = image[..., source]
    result[generator.random(count) < 0.5] ^= 255
    return result


def flipped(images: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Half of the images [N, H, W, C] mirrored, left to right."""
    mirrored = generator.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
