"""Accuracy of anything that turns images into logits: a torch module, an ONNX session, the evaluator, an artifact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nascompiler.data.dataset import Split

Run = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Preprocessed images [N, H, W, C] -> logits [N, classes]."""


def predictions(run: Run, split: Split, *, batch_size: int = 250) -> NDArray[np.int64]:
    """The class with the largest logit for each image of the split, int64 [N]."""
    found = [np.asarray(run(images)).argmax(axis=-1) for images, _ in split.batches(batch_size)]
    return np.concatenate(found).astype(np.int64) if found else np.zeros(0, np.int64)


def evaluate_accuracy(run: Run, split: Split, *, batch_size: int = 250) -> float:
    """The part of the split, 0 to 1, whose class has the largest logit; raises ValueError for an empty split."""
    if not len(split):
        raise ValueError("accuracy needs at least one image")
    return float((predictions(run, split, batch_size=batch_size) == split.labels).mean())
