"""glyphs-62: letters and digits, drawn so that they are hard to read.

Each image is one of 62 characters in a DejaVu face, in random colours at random size, place, rotation and shear, among
lines, blobs and pieces of other characters, blurred and noisy. Image i of a split depends on the seed, the split and i
only, and on the version of pillow.
"""

from __future__ import annotations

import math
import string
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.fonts import font, font_paths
from nascompiler.ir.errors import unknown

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)
SIZE = 64
"""Height and width of an image in pixels."""
VERSION = 1
"""Of what is drawn: images in a cache belong to one version. The distortions were tuned once and are frozen, since
accuracies can be compared on the same images only."""

SPLITS = ("train", "held_out", "test")

FONT_PIXELS = (30, 46)
MAX_ROTATION_DEGREES = 25.0
MAX_SHEAR = 0.3
MAX_SHIFT_PIXELS = 9.0
MIN_CONTRAST = 45.0
"""Distance of the character's colour from that of its ground, in steps of an 8-bit channel, root mean square."""
MAX_BLUR_PIXELS = 1.5
MAX_NOISE_DEVIATION = 30.0
MAX_CLUTTER = 4
"""Lines, blobs and pieces of characters in an image."""

Colour = tuple[int, int, int]


def glyphs(
    count: int, split: str = "train", seed: int = 0, *, start: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images `start` to `start + count - 1` of a split: uint8 [count, 64, 64, 3], NHWC, RGB, and their classes [count].

    Raises ValueError for a negative count or start, UsageError for an unknown split, DataError where matplotlib or
    pillow is missing.
    """
    if count < 0 or start < 0:
        raise ValueError(f"count and start must be at least 0, not {count} and {start}")
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    font_paths()  # what is missing is said before anything is drawn
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        generator = np.random.default_rng([seed, SPLITS.index(split), start + index])
        labels[index] = generator.integers(len(CLASSES))
        images[index] = _image(generator, CLASSES[labels[index]])
    return images, labels


def _image(generator: np.random.Generator, character: str) -> NDArray[np.uint8]:
    from PIL import ImageFilter

    ground, ink = _colours(generator)
    canvas = _ground(generator, ground)
    for _ in range(generator.integers(MAX_CLUTTER + 1)):
        _clutter(generator, canvas, ground, ink)
    mask = _mask(generator, character)
    canvas.paste(ink, (0, 0), mask)
    canvas = canvas.filter(ImageFilter.GaussianBlur(generator.uniform(0, MAX_BLUR_PIXELS)))
    noise = generator.standard_normal((SIZE, SIZE, 3), dtype=np.float32) * generator.uniform(0, MAX_NOISE_DEVIATION)
    pixels = np.asarray(canvas, np.float32) + noise
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _colours(generator: np.random.Generator) -> tuple[Colour, Colour]:
    """Two colours that are at least MIN_CONTRAST apart."""
    while True:
        pair = generator.integers(0, 256, (2, 3))
        if math.sqrt(float(np.mean((pair[0] - pair[1]) ** 2))) >= MIN_CONTRAST:
            return _colour(pair[0]), _colour(pair[1])


def _colour(channels: NDArray[np.int64]) -> Colour:
    red, green, blue = (int(channel) for channel in channels)
    return red, green, blue


def _ground(generator: np.random.Generator, colour: Colour) -> Image:
    """The colour, brighter and darker from one side to the other."""
    from PIL import Image

    angle, strength = generator.uniform(0, 2 * math.pi), generator.uniform(0, 25)
    ramp = np.linspace(-1, 1, SIZE, dtype=np.float32) * np.float32(strength)
    slope = ramp[:, None] * np.float32(math.sin(angle)) + ramp[None, :] * np.float32(math.cos(angle))
    pixels = np.asarray(colour, np.float32) + slope[:, :, None]
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _clutter(generator: np.random.Generator, canvas: Image, ground: Colour, ink: Colour) -> None:
    """A line, a blob or a small character, of a colour between the two, so that it could belong to the character."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    part = generator.uniform(0.0, 0.8)
    mixed = np.rint(np.asarray(ground) * (1 - part) + np.asarray(ink) * part + generator.normal(0, 15, 3))
    colour = _colour(np.clip(mixed, 0, 255).astype(np.int64))
    x, y, *ends = (float(place) for place in generator.uniform(0, SIZE, 4))
    kind = generator.integers(3)
    if kind == 0:
        draw.line((x, y, *ends), fill=colour, width=int(generator.integers(1, 4)))
    elif kind == 1:
        radius = generator.uniform(2, 7)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        face = font(_face(generator), int(generator.integers(10, 22)))
        draw.text((x, y), CLASSES[generator.integers(len(CLASSES))], font=face, fill=colour, anchor="mm")


def _mask(generator: np.random.Generator, character: str) -> Image:
    """The character as coverage 0 to 255, rotated, sheared and shifted about the middle of its box."""
    from PIL import Image, ImageDraw

    face = font(_face(generator), int(generator.integers(FONT_PIXELS[0], FONT_PIXELS[1] + 1)))
    left, top, right, bottom = face.getbbox(character)
    upright = Image.new("L", (SIZE, SIZE))
    middle = SIZE / 2
    ImageDraw.Draw(upright).text(
        (middle - (left + right) / 2, middle - (top + bottom) / 2), character, font=face, fill=255
    )
    angle = math.radians(generator.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
    shear = generator.uniform(-MAX_SHEAR, MAX_SHEAR)
    shift = generator.uniform(-MAX_SHIFT_PIXELS, MAX_SHIFT_PIXELS, 2)
    cosine, sine = math.cos(angle), math.sin(angle)
    # The inverse map: each pixel of the result is fetched from R(angle) S(shear) (place - middle - shift) + middle.
    rows = ((cosine, -sine + shear * cosine), (sine, cosine + shear * sine))
    moved = middle + shift
    coefficients = [value for a, b in rows for value in (a, b, middle - a * moved[0] - b * moved[1])]
    return upright.transform((SIZE, SIZE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _face(generator: np.random.Generator) -> Path:
    paths = font_paths()
    return paths[generator.integers(len(paths))]
