"""Random search: every option as likely as the others, whatever the rewards. A strong baseline (arXiv:1902.07638)."""

from __future__ import annotations

import sys
from typing import Any, Self

import numpy as np

from nascompiler.ir.errors import UsageError
from nascompiler.search.controllers.decisions import DecisionTable
from nascompiler.search.controllers.generator_state import generator_state, restored_generator
from nascompiler.search.interfaces import State
from nascompiler.spaces import SearchSpace, Vector


class RandomSearch:
    """Draws architectures; learns nothing."""

    PRESETS: dict[str, dict[str, Any]] = {"small": {}, "paper": {}}

    def __init__(self, space: SearchSpace, seed: int = 0, **settings: Any) -> None:
        if settings:
            raise UsageError(f"random search has no settings; {', '.join(settings)} was given")
        self._table = DecisionTable.of(space.choices)
        self._generator = np.random.default_rng(seed)

    @classmethod
    def random_draws(cls, **settings: Any) -> int:
        """How many of the first architectures are drawn at random."""
        return sys.maxsize

    def ask(self) -> Vector:
        return self._table.drawn(self._generator)

    def tell(self, vector: Vector, reward: float) -> None:
        """Rewards change nothing."""

    def state(self) -> State:
        return {"generator": generator_state(self._generator)}

    @classmethod
    def restore(cls, space: SearchSpace, state: State) -> Self:
        controller = cls(space)
        controller._generator = restored_generator(state["generator"])
        return controller
