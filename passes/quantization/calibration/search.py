"""The search for the two ends of a range that make some loss least."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nascompiler.passes.quantization.ranges import Range

Loss = Callable[[Range], float]

_COARSE = 1 / 64
_FINE = 1 / 512
_ROUNDS = 4


def least_loss(widest: Range, loss: Loss, *, together: bool = False) -> Range:
    """The range within `widest`, which contains 0, that has the least loss, each end found for itself.

    One end after the other is tried at every 64th of its widest place, until no end moves, and then around what was
    found at every 512th. With `together` both ends keep the same share of their widest places. Of equal losses the
    wider range wins. Deterministic; takes a few hundred evaluations of `loss`.
    """
    tried: dict[Range, float] = {}

    def at(range: Range) -> float:
        if range not in tried:
            tried[range] = loss(range)
        return tried[range]

    def made(low: float, high: float) -> Range:
        return Range(widest.low * low, widest.high * high)

    shares = (1.0, 1.0)
    ends = [(0, 1)] if together else [(1,), (0,)]  # the upper end first: most activations have no more than that
    for step, reach in ((_COARSE, 1.0), (_FINE, 1.5 * _COARSE)):
        for _ in range(_ROUNDS):
            before = shares
            for moving in ends:
                middle = shares[moving[0]]
                candidates = np.arange(min(1.0, middle + reach), max(_FINE, middle - reach) - step / 2, -step)
                options = [
                    (share if 0 in moving else shares[0], share if 1 in moving else shares[1])
                    for share in (float(c) for c in candidates)
                ]
                best = min(options, key=lambda option: at(made(*option)))
                if at(made(*best)) < at(made(*shares)):
                    shares = best
            if shares == before:
                break
    return made(*shares)
