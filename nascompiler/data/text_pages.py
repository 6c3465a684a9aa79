"""Rendered pages with lines of text: a task for the OCR detector, which marks where text is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.fonts import font, font_paths
from nascompiler.data.text_lines import NOISE_DEVIATION, WORDS, random_colour

if TYPE_CHECKING:
    from PIL.Image import Image

SIZE = 320
MULTIPLE = 32
"""The detector halves its input five times, so heights and widths are multiples of this."""

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
"""Preprocessing of PP-OCR's detector (its published configuration), in the order of the channels B, G, R."""

_MAX_TILT_DEGREES = 4.0


def text_pages(count: int, seed: int = 0, *, size: int = SIZE) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw `count` pages of text, the same ones for the same seed; a larger count only adds pages.

    Returns the images, float32 (count, 3, size, size), NCHW, channels in the order BGR, pixels (x / 255 - MEAN) /
    DEVIATION; and where text is, bool (count, size, size): inside the box of a line. Lines do not overlap.

    Raises:
        ValueError: `count` is negative or `size` no positive multiple of 32.
        DataError: matplotlib or pillow is not installed.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, not {count}")
    if size < MULTIPLE or size % MULTIPLE:
        raise ValueError(f"size is {size}; accepted: multiples of {MULTIPLE} from {MULTIPLE} on")
    choices, noise = random.Random(seed), np.random.default_rng(seed)
    images = np.zeros((count, 3, size, size), np.float32)
    masks = np.zeros((count, size, size), np.bool_)
    for index in range(count):
        page, mask = _page(choices, size)
        pixels = np.asarray(page, np.float32)[:, :, ::-1] + noise.normal(0, NOISE_DEVIATION, (size, size, 3))
        images[index] = ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)
        masks[index] = np.asarray(mask) > 127
    return images, masks


def _page(choices: random.Random, size: int) -> tuple[Image, Image]:
    """A page, slightly tilted, and its mask, 255 inside the boxes of lines."""
    from PIL import Image, ImageDraw

    paper = random_colour(choices, 170, 255)
    page, mask = Image.new("RGB", (size, size), paper), Image.new("L", (size, size))
    draw, draw_mask = ImageDraw.Draw(page), ImageDraw.Draw(mask)
    faces = font_paths()
    top = choices.uniform(6, 30)
    while top < size:
        face = font(choices.choice(faces), choices.randint(13, 28))
        text = " ".join(choices.choices(WORDS, k=choices.randint(1, 4)))
        left = choices.uniform(4, size / 3)
        box = face.getbbox(text)
        draw.text((left - box[0], top - box[1]), text, font=face, fill=random_colour(choices, 0, 89))
        bottom = top + box[3] - box[1]
        draw_mask.rectangle((left, top, left + box[2] - box[0], bottom), fill=255)
        top = bottom + choices.uniform(8, 40)
    angle = choices.uniform(-_MAX_TILT_DEGREES, _MAX_TILT_DEGREES)
    tilted = page.rotate(angle, Image.Resampling.BILINEAR, fillcolor=paper)
    return tilted, mask.rotate(angle, Image.Resampling.BILINEAR)
