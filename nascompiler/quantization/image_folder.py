"""Images in a folder, read and cropped one at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.quantization.network_inputs import ImageInput

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and the folders in it, sorted by path; raises UsageError when there are none."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise UsageError(f"no images in {folder}; accepted: files that end in {choices_text(SUFFIXES)}")
    return found


def class_folders(folder: Path, files: list[Path]) -> tuple[str, ...]:
    """The names of the folders, sorted, in each of which the images of one class lie; none if images lie elsewhere."""
    parts = [path.relative_to(folder).parts for path in files]
    return tuple(sorted({p[0] for p in parts})) if all(len(p) > 1 for p in parts) else ()


def read_pixels(path: Path, image: ImageInput) -> NDArray[np.float32]:
    """An image as [H, W, C] from 0 to 255, RGB or grey, in the size of a network's input.

    It is scaled (bilinear) until its shorter side fits and the middle is cut out. Transparency is dropped, and what
    the camera noted about its orientation is respected. Raises UsageError naming a file that cannot be read.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UsageError("reading images needs pillow: run `pip install 'nascompiler[data]'`") from None
    try:
        with Image.open(path) as file:
            file.load()
            turned = ImageOps.exif_transpose(file)
            if turned.mode.startswith("I"):  # 16 bits a pixel, which pillow would cut off at 255
                turned = Image.fromarray((np.asarray(turned, np.float32) / 257).clip(0, 255).astype(np.uint8))
            turned = turned.convert("RGB" if image.channels == 3 else "L")
            size = (image.width, image.height)
            pixels = np.asarray(ImageOps.fit(turned, size, Image.Resampling.BILINEAR), np.float32)
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise UsageError(f"cannot read the image {path}: {error}") from None
    return pixels.reshape(image.height, image.width, image.channels)
