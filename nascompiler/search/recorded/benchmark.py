"""What the recorded benchmark is: its space, its data, the proxy that each child was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from nascompiler.search.children.proxy import Proxy
from nascompiler.spaces import Vector
from nascompiler.training.recipe import Recipe

SPACE = "mnasnet-glyphs"
DATA = "glyphs-62"


def proxy() -> Proxy:
    """Digits only, the middle 40x40 of each image at half its size, in contrast; two epochs."""
    recipe = Recipe(
        epochs=2,
        batch_size=64,
        learning_rate=0.03,
        warm_up_epochs=0.2,
        weight_decay=0.02,
        label_smoothing=0.0,
        shift=0,
        fused=True,
    )
    return Proxy(resolution=20, crop=12, colour="contrast", classes=10, recipe=recipe)


def vector_text(vector: Sequence[int]) -> str:
    """A vector as its digits; no choice of the space has more than ten options."""
    return "".join(map(str, vector))


def vector_of(text: str) -> Vector:
    return tuple(map(int, text))
