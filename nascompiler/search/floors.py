"""When a child is hopeless: the accuracies after each epoch below which it is given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nascompiler.ir.errors import UsageError
from nascompiler.search.study import TrialRecord


@dataclass(frozen=True)
class FloorRule:
    """After an epoch a child must be as accurate as the `quantile` of the earlier children were after it.

    A median-stopping rule (Golovin et al., Google Vizier, 2017) with a quantile of choice; 0 gives up nobody. The
    rule waits for `children` curves: the first are no measure yet.
    """

    quantile: float = 0.0
    children: int = 16

    def __post_init__(self) -> None:
        if not 0 <= self.quantile < 1:
            raise UsageError(f"give-up is {self.quantile}; accepted: numbers from 0 to below 1")

    def floors(self, told: Sequence[TrialRecord]) -> tuple[float, ...]:
        """From the trials that the controller was told of, so that they do not depend on who finished first."""
        curves = [t.evaluation.curve for t in told if t.evaluation and t.evaluation.curve and t.repeats is None]
        if not self.quantile or len(curves) < self.children:
            return ()
        shortest = min(map(len, curves))
        return tuple(float(np.quantile([curve[epoch] for curve in curves], self.quantile)) for epoch in range(shortest))
