"""What the recorded benchmark is: its space, its data, the proxy that each child was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from nascompiler.search.children.defaults import GLYPHS
from nascompiler.spaces import Vector

SPACE = "mnasnet-glyphs"
DATA = "glyphs-62"
PROXY = GLYPHS


def vector_text(vector: Sequence[int]) -> str:
    """A vector as its digits; no choice of the space has more than ten options."""
    return "".join(map(str, vector))


def vector_of(text: str) -> Vector:
    return tuple(map(int, text))
