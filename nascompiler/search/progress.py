"""What a running search tells of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from nascompiler.search.study import TrialRecord


@dataclass(frozen=True)
class Progress:
    """After each trial: how many have ended of how many, the latest and the best so far with their rewards.

    `running` are the numbers of those under way, `failures` counts failed trials by class; `evaluating_s` is the time
    since this session began, `evaluated` how many trials were run in it.
    """

    told: int
    budget: int
    latest: TrialRecord | None
    best: TrialRecord | None
    running: tuple[int, ...] = ()
    failures: Counter[str] = field(default_factory=Counter)
    evaluating_s: float = 0.0
    evaluated: int = 0

    @property
    def left_s(self) -> float | None:
        """The time that the rest will take if it goes on as in this session; None while nothing is known."""
        if not self.evaluated:
            return None
        return self.evaluating_s / self.evaluated * (self.budget - self.told)


Listener = Callable[[Progress], None]
