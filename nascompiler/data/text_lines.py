"""Rendered lines of text, upright or upside down: a labelled task for the OCR direction classifier.

Everything is drawn from a seed with matplotlib's bundled DejaVu fonts, so that nothing is downloaded and two machines
with the same pinned packages get the same pixels. `python -m nascompiler.data.text_lines 256 lines.npy labels.npy`
writes lines, and what they are, into files.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.fonts import font_paths
from nascompiler.ir.errors import Error, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

HEIGHT, WIDTH = 48, 192
NOISE_DEVIATION = 6.0
"""Standard deviation of the Gaussian noise, in steps of an 8-bit pixel."""

WORDS = (
    "the quick brown fox jumps over lazy dog Invoice 2026 Total amount kernel latency graph search cell tensor int8 "
    "MobileNet accuracy Pixel device hello world compile target"
).split()


def text_lines(count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw `count` labelled lines of text, the same ones for the same seed; a larger count only adds lines.

    Returns the images, float32 (count, 3, 48, 192), NCHW, channels in the order BGR, and the labels, int64 (count,):
    0 for upright, 1 for turned by 180 degrees. Pixels are (x / 255 - 0.5) / 0.5, so from -1 to 1 and a little beyond
    where noise falls on white; a line that is shorter than 192 pixels is filled up with 0 on the right. This is what
    the direction classifier of PP-OCR takes.

    Raises:
        ValueError: `count` is negative.
        DataError: matplotlib or pillow is not installed.
    """
    if count < 0:
        raise ValueError(f"count must be at least 0, not {count}")
    fonts = font_paths()
    choices, noise = random.Random(seed), np.random.default_rng(seed)
    images = np.zeros((count, 3, HEIGHT, WIDTH), np.float32)
    labels = np.zeros(count, np.int64)
    for index in range(count):
        image, labels[index] = _line(choices, fonts)
        pixels = np.asarray(image, np.float32)[:, :, ::-1]
        noisy = ((pixels + noise.normal(0, NOISE_DEVIATION, pixels.shape)) / 255 - 0.5) / 0.5
        images[index, :, :, : image.width] = noisy.transpose(2, 0, 1)
    return images, labels


def _line(choices: random.Random, fonts: Sequence[Path]) -> tuple[Image, int]:
    """One line, 48 pixels high and at most 192 wide, and its label."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(str(choices.choice(fonts)), choices.randint(20, 34))
    text = " ".join(choices.choices(WORDS, k=choices.randint(2, 3)))
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    image = Image.new("RGB", (right - left + 16, bottom - top + 14), random_colour(choices, 170, 255))
    ImageDraw.Draw(image).text((8 - left, 7 - top), text, font=font, fill=random_colour(choices, 0, 89))
    label = choices.randint(0, 1)
    if label:
        image = image.rotate(180)
    width = min(WIDTH, max(1, int(HEIGHT * image.width / image.height)))
    return image.resize((width, HEIGHT), Image.Resampling.BILINEAR), label


def random_colour(choices: random.Random, low: int, high: int) -> tuple[int, int, int]:
    """Three channels, each from `low` to `high`."""
    return choices.randint(low, high), choices.randint(low, high), choices.randint(low, high)


def main(arguments: list[str]) -> None:
    """Write `count` lines, and their labels where a third argument names a file."""
    if len(arguments) not in (2, 3) or not arguments[0].isdigit():
        raise UsageError("usage: python -m nascompiler.data.text_lines COUNT LINES.npy [LABELS.npy]")
    images, labels = text_lines(int(arguments[0]))
    np.save(arguments[1], images)
    if len(arguments) == 3:
        np.save(arguments[2], labels)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
