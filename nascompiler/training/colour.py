"""Images without their colours: what remains is how pixels differ from the background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DARKEST, BRIGHTEST = -1.0, 3.0
"""What is told apart, in standard deviations from the median."""


def colour_contrast(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each image [N, H, W, C] along the direction in which its colours vary most, the same in all channels.

    The median becomes a quarter of the scale and the direction is that in which values far from it lie; the scale ends
    at 1 standard deviation below and 3 above. So a sign on a background is bright on dark, whatever their colours.
    This is whitening, as NASNet's children have it, of each image by itself.
    """
    pixels = images.reshape(len(images), -1, images.shape[-1]).astype(np.float64)
    pixels -= np.median(pixels, axis=1, keepdims=True)
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    _, directions = np.linalg.eigh(np.einsum("npi,npj->nij", centred, centred))
    direction = directions[..., -1]
    skew = (np.einsum("npi,ni->np", centred, direction) ** 3).sum(axis=1)
    values = np.einsum("npi,ni->np", pixels, direction) * np.where(skew < 0, -1.0, 1.0)[:, None]
    values /= np.maximum(values.std(axis=1, keepdims=True), 1e-6)
    scaled = (np.clip(values, DARKEST, BRIGHTEST) - DARKEST) * (255 / (BRIGHTEST - DARKEST))
    grey = np.rint(scaled).astype(np.uint8).reshape(images.shape[:-1])
    return np.repeat(grey[..., None], images.shape[-1], axis=-1)
