"""The proxy that children are trained on unless another is asked for, by data set."""

from __future__ import annotations

from dataclasses import replace

from nascompiler.ir.errors import unknown
from nascompiler.search.children.proxy import Proxy
from nascompiler.training.presets import PAPERS
from nascompiler.training.recipe import Recipe

QUICK = Recipe(
    epochs=3,
    batch_size=64,
    learning_rate=0.03,
    warm_up_epochs=0.2,
    weight_decay=0.02,
    label_smoothing=0.0,
    shift=0,
    fused=True,
)
"""A hundred and fifty steps at a high rate, for some thousand images."""

GLYPHS = Proxy(resolution=20, crop=12, colour="contrast", classes=10, recipe=QUICK)
"""Digits only, the middle 40x40 pixels of each image at half their size, in contrast."""

DIGITS = Proxy(
    recipe=Recipe(
        epochs=4,
        batch_size=32,
        learning_rate=0.02,
        warm_up_epochs=0.4,
        weight_decay=0.02,
        label_smoothing=0.0,
        shift=0,
        fused=True,
    )
)

NASNET = Proxy(cells=2, recipe=replace(PAPERS["nasnet-cifar"], epochs=20, batch_size=64))
"""As NASNet's search (arXiv:1707.07012, appendix A): two cells a stack, 20 epochs, momentum, one cosine."""

MNASNET = Proxy(
    recipe=Recipe(
        epochs=5,
        batch_size=256,
        learning_rate=0.016,
        warm_up_epochs=1.0,
        weight_decay=1e-5,
        label_smoothing=0.1,
        shift=0,
        flip=True,
        optimizer="rmsprop",
        schedule="exponential",
    )
)
"""As MnasNet's search (arXiv:1807.11626, section 5): ImageNet itself, five epochs, otherwise as in full training."""

DEFAULTS = {
    "glyphs-62": GLYPHS,
    "mnist-5k": Proxy(recipe=QUICK),
    "digits": DIGITS,
    "cifar-10": NASNET,
    "imagenet": MNASNET,
}


def default_proxy(data: str) -> Proxy:
    """The proxy for a data set, `NAME` or `NAME:FOLDER`; raises UsageError for an unknown one."""
    name = data.partition(":")[0]
    if name not in DEFAULTS:
        raise unknown("data set", name, DEFAULTS)
    return DEFAULTS[name]
