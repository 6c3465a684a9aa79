"""Cutting held-out and test images from what a source gives as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def stratified(labels: NDArray[np.int64], parts: Sequence[float], seed: int = 0) -> list[Indices]:
    """Indices of examples for each part, a fraction of every class, and of all the others last; each in order.

    Parts are rounded to whole examples of a class. Raises ValueError when they add up to more than 1.
    """
    if min(parts, default=0) < 0 or sum(parts) > 1:
        raise ValueError(f"the parts are {list(parts)}; accepted: fractions of 1 that add up to at most 1")
    generator = np.random.default_rng(seed)
    chosen: list[list[Indices]] = [[] for _ in range(len(parts) + 1)]
    bounds = np.cumsum([0.0, *parts])
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        cuts = np.rint(bounds * len(members)).astype(int)
        for part, (start, stop) in enumerate(zip(cuts, [*cuts[1:], len(members)], strict=True)):
            chosen[part].append(members[start:stop])
    return [np.sort(np.concatenate(part)).astype(np.int64) if part else np.zeros(0, np.int64) for part in chosen]
