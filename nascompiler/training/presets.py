"""Recipes by name: what suits a data set, and what the papers trained their results with."""

from __future__ import annotations

from dataclasses import replace

from nascompiler.data.dataset import Dataset
from nascompiler.ir.errors import unknown
from nascompiler.training.recipe import Recipe

STEPS = 50
"""Steps an epoch should have at least; small data sets get smaller batches."""

LARGEST_SHIFT = 4

PAPERS = {
    "nasnet-cifar": Recipe(
        epochs=600,
        batch_size=32,
        learning_rate=0.025,
        warm_up_epochs=0.0,
        weight_decay=5e-4,
        label_smoothing=0.0,
        shift=4,
        flip=True,
        optimizer="sgd",
        clip_norm=5.0,
    ),
    "nasnet-imagenet": Recipe(
        epochs=312,
        batch_size=1600,
        learning_rate=2.0,
        warm_up_epochs=0.0,
        weight_decay=4e-5,
        label_smoothing=0.1,
        shift=0,
        flip=True,
        optimizer="rmsprop",
        schedule="exponential",
        clip_norm=10.0,
        average=0.9999,
    ),
    "mnasnet": Recipe(
        epochs=350,
        batch_size=4096,
        learning_rate=0.256,
        warm_up_epochs=5.0,
        weight_decay=1e-5,
        label_smoothing=0.1,
        shift=0,
        flip=True,
        optimizer="rmsprop",
        schedule="exponential",
        average=0.9999,
    ),
}
"""NASNet (arXiv:1707.07012, appendix A, and its released code), MnasNet (arXiv:1807.11626, section 5)."""

DEFAULT = "default"


def names() -> list[str]:
    return [DEFAULT, *PAPERS]


def recipe_for(name: str, data: Dataset) -> Recipe:
    """A recipe by name; `default` fits the data: AdamW, batches of 128 or so many that an epoch has 50 steps.

    Raises UsageError for an unknown name.
    """
    if name in PAPERS:
        return PAPERS[name]
    if name != DEFAULT:
        raise unknown("recipe", name, names())
    count, side = len(data.train), min(data.train.images.shape[1:3])
    largest = Recipe().batch_size
    batch = next((size for size in (largest, 64, 32) if count >= STEPS * size), 16)
    # The learning rate goes with the root of the batch, as the noise of AdamW's steps does.
    rate = Recipe().learning_rate * (batch / largest) ** 0.5
    shift = min(LARGEST_SHIFT, side // 16)
    recipe = Recipe(batch_size=batch, learning_rate=rate, shift=shift)
    return replace(recipe, recolour=True) if data.name == "glyphs-62" else recipe
