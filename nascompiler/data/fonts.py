"""The DejaVu faces that come with matplotlib, from which everything rendered here is drawn."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nascompiler.data.errors import DataError

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont


def font_paths() -> tuple[Path, ...]:
    """The font files, in a fixed order; raises DataError when matplotlib or pillow is not installed."""
    try:
        # pillow first: matplotlib, which needs it, would be left half imported where it is missing.
        import PIL  # noqa: F401, I001
        import matplotlib
    except ImportError as error:
        raise DataError(
            f"rendered images need {error.name}: run `pip install 'nascompiler[data]'` (matplotlib for its fonts, "
            "pillow to draw)"
        ) from error
    return _listed(Path(matplotlib.get_data_path(), "fonts", "ttf"))


@cache
def _listed(folder: Path) -> tuple[Path, ...]:
    # The "Display" faces hold mathematical symbols only.
    return tuple(sorted(font for font in folder.glob("DejaVu*.ttf") if "Display" not in font.name))


@cache
def font(path: Path, pixels: int) -> FreeTypeFont:
    """A face at a size; letters are placed by pillow itself, which does the same with and without libraqm."""
    from PIL import ImageFont

    return ImageFont.truetype(str(path), pixels, layout_engine=ImageFont.Layout.BASIC)
