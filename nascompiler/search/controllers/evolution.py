"""Regularised evolution (Real et al., arXiv:1802.01548): the oldest dies, the best of a sample has a child."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from nascompiler.ir.errors import UsageError
from nascompiler.search.controllers.decisions import DecisionTable
from nascompiler.search.controllers.generator_state import generator_state, restored_generator
from nascompiler.search.interfaces import State
from nascompiler.spaces import SearchSpace, Vector


@dataclass(frozen=True)
class EvolutionSettings:
    """`population` individuals live at once, the first of them drawn at random; the best of `sample` of them, drawn
    without putting back, has a child by one mutation. With `unseen` mutations go on, up to `patience` of them, until
    the child is one that was never asked for.
    """

    population: int = 100
    sample: int = 25
    unseen: bool = False
    patience: int = 32

    def __post_init__(self) -> None:
        for name in ("population", "sample", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; accepted: whole numbers from 1 on")
        if self.sample > self.population:
            raise UsageError(f"sample is {self.sample}; accepted: 1 to {self.population}, the size of the population")


class RegularisedEvolution:
    """A first-in, first-out population; see `EvolutionSettings`."""

    PRESETS: dict[str, dict[str, Any]] = {
        "paper": {},
        "small": {"population": 10, "sample": 5, "unseen": True},
    }

    def __init__(self, space: SearchSpace, seed: int = 0, **settings: Any) -> None:
        self.settings = EvolutionSettings(**settings)
        self._table = DecisionTable.of(space.choices)
        self._generator = np.random.default_rng(seed)
        self._asked = 0
        self._seen: dict[Vector, None] = {}
        self._population: deque[tuple[Vector, float]] = deque(maxlen=self.settings.population)

    @classmethod
    def random_draws(cls, **settings: Any) -> int:
        """How many of the first architectures are drawn at random."""
        return EvolutionSettings(**settings).population

    def ask(self) -> Vector:
        if self._asked < self.settings.population or not self._population:
            vector = self._unless_seen(self._table.drawn(self._generator), None)
        else:
            parent = self._parent()
            vector = self._unless_seen(self._table.mutated(parent, self._generator), parent)
        self._asked += 1
        if self.settings.unseen:
            self._seen[vector] = None
        return vector

    def tell(self, vector: Vector, reward: float) -> None:
        """The newcomer takes the place of the oldest."""
        self._population.append((tuple(vector), reward))

    def _parent(self) -> Vector:
        size = min(self.settings.sample, len(self._population))
        chosen = self._generator.choice(len(self._population), size=size, replace=False)
        return max((self._population[int(i)] for i in chosen), key=lambda individual: individual[1])[0]

    def _unless_seen(self, vector: Vector, parent: Vector | None) -> Vector:
        """Mutate again while the child was asked for before: from its parent at first, then from the child itself,
        since all neighbours of a parent may be known."""
        for attempt in range(self.settings.patience):
            if vector not in self._seen:
                break
            from_parent = parent is not None and attempt < self.settings.patience // 2
            vector = self._table.mutated(parent if from_parent and parent else vector, self._generator)
        return vector

    def state(self) -> State:
        return {
            "settings": asdict(self.settings),
            "generator": generator_state(self._generator),
            "asked": self._asked,
            "seen": [list(vector) for vector in self._seen],
            "population": [[list(vector), reward] for vector, reward in self._population],
        }

    @classmethod
    def restore(cls, space: SearchSpace, state: State) -> Self:
        controller = cls(space, **state["settings"])
        controller._generator = restored_generator(state["generator"])
        controller._asked = state["asked"]
        controller._seen = {tuple(vector): None for vector in state["seen"]}
        controller._population.extend((tuple(vector), reward) for vector, reward in state["population"])
        return controller
