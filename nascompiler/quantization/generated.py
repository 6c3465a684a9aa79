"""Images made from a seed, for networks that come without data: with the statistics of photographs, as far as ranges
of activations depend on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir import Graph
from nascompiler.quantization.network_inputs import ImageInput, Sample
from nascompiler.quantization.normalization import PixelNormalization

DEFAULT_COUNT = 64

DISCS = 60
CHROMA = 0.35
"""Spread of colour differences, as a part of that of brightness."""


def generated_images(count: int, seed: int, image: ImageInput, normalize: PixelNormalization) -> Iterator[Sample]:
    """`count` images as a network takes them; image i depends on the seed and i alone."""
    for number in range(count):
        pixels = natural_image(np.random.default_rng([seed, number]), image.height, image.width, image.channels)
        yield {image.name: image.laid_out(normalize(pixels, image.dtype))}


def generated_samples(count: int, seed: int, graph: Graph) -> Iterator[Sample]:
    """`count` samples for inputs that are no images: smooth noise, and small integers for integer inputs."""
    from nascompiler.verification import synthetic_inputs

    drawn = synthetic_inputs(graph, seed)
    for _ in range(count):
        yield next(drawn)


def natural_image(generator: np.random.Generator, height: int, width: int, channels: int) -> NDArray[np.float32]:
    """An image [H, W, C], pixels from 0 to 255, of discs in front of each other over a texture.

    Discs with radii distributed as r**-3 make the edges, flat areas and scale invariance of photographs (Lee, Mumford
    and Huang 2001, "Occlusion models for natural images"), the texture their amplitude spectrum 1 / f (Field 1987).
    Channels differ less than pixels do, as colours of photographs; brightness and contrast change from image to image.
    """
    planes = 1 if channels == 1 else 3
    field = np.stack([_texture(generator, height, width) for _ in range(planes)], axis=-1) * 0.5
    side = max(height, width)
    # Inverse sampling of a density r**-3 between a 40th and a half of the side.
    radii = side / np.sqrt(40.0**2 - generator.random(DISCS) * (40.0**2 - 2.0**2))
    for radius in radii:
        y, x = generator.uniform(0, height), generator.uniform(0, width)
        top, left = max(0, int(y - radius)), max(0, int(x - radius))
        box = field[top : int(y + radius) + 2, left : int(x + radius) + 2]
        rows, columns = np.ogrid[top : top + box.shape[0], left : left + box.shape[1]]
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        texture = generator.uniform(0, 0.6)
        box[inside] = box[inside] * texture + generator.standard_normal(planes)
    mixed = field[..., :1] if planes == 1 else field[..., :1] + CHROMA * (field - field.mean(axis=-1, keepdims=True))
    brightness, contrast = generator.uniform(0.3, 0.65), generator.uniform(0.12, 0.3)
    pixels = np.clip((brightness + contrast * mixed) * 255, 0, 255).astype(np.float32)
    return np.broadcast_to(pixels, (height, width, channels)) if planes == 1 else pixels


def _texture(generator: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Noise [H, W] of unit spread whose amplitude falls as 1 / frequency."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.standard_normal((height, width))) / frequency
    field = np.fft.irfft2(spectrum, s=(height, width))
    spread = field.std()
    return field / spread if spread > 0 else field
