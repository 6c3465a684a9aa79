"""How far the answers of a runtime are from torch's in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]
"""[images, classes]"""


@dataclass(frozen=True)
class Accuracy:
    """Means over the images.

    `cosine` is that of the logits less their mean over the classes, which softmax ignores. `difference_cosine` is that
    of the logits less their mean over the images: what tells one image from another, and the harder test. `top1` is the
    share of images with the same best class.
    """

    cosine: float
    difference_cosine: float
    top1: float


def accuracy(answers: Logits, reference: Logits) -> Accuracy:
    """Raises ValueError when the shapes differ, or for answers that are not finite."""
    if answers.shape != reference.shape:
        raise ValueError(f"answers of shape {answers.shape} cannot be compared with {reference.shape}")
    if not np.isfinite(answers).all():
        raise ValueError("some answers are not finite")
    return Accuracy(
        cosine=_cosine(answers, reference, centre=1),
        difference_cosine=_cosine(answers, reference, centre=0),
        top1=float((answers.argmax(1) == reference.argmax(1)).mean()),
    )


def _cosine(a: Logits, b: Logits, centre: int) -> float:
    """The mean cosine of the rows, each array centred along an axis."""
    a, b = (x.astype(np.float64) - x.mean(centre, keepdims=True, dtype=np.float64) for x in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / np.maximum(norms, np.finfo(np.float64).tiny)).mean())
