"""The choices of a space as numbers: how many options each has, and under which options of which other it exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from nascompiler.ir import Choice
from nascompiler.passes.decide import conditions_first
from nascompiler.spaces import Vector


@dataclass(frozen=True)
class DecisionTable:
    """Positions are those in a vector, in order of declaration.

    `order` lists them so that each follows the one that it depends on; `conditions` gives that one and the indices of
    its options under which the decision exists, None where it always does.
    """

    sizes: tuple[int, ...]
    order: tuple[int, ...]
    conditions: tuple[tuple[int, frozenset[int]] | None, ...]

    @classmethod
    def of(cls, choices: Mapping[str, Choice]) -> Self:
        positions = {name: position for position, name in enumerate(choices)}
        conditions: list[tuple[int, frozenset[int]] | None] = []
        for choice in choices.values():
            if choice.condition is None:
                conditions.append(None)
                continue
            other, options = choice.condition
            indices = frozenset(i for i, option in enumerate(choices[other].options) if option in options)
            conditions.append((positions[other], indices))
        return cls(
            tuple(len(choice.options) for choice in choices.values()),
            tuple(positions[name] for name in conditions_first(choices)),
            tuple(conditions),
        )

    def exists(self, position: int, options: Mapping[int, int]) -> bool:
        """Whether a decision is to be taken, by the options taken of those before it."""
        condition = self.conditions[position]
        return condition is None or options.get(condition[0]) in condition[1]

    def existing(self, vector: Sequence[int]) -> dict[int, int]:
        """The options of the decisions whose condition holds, by position, in `order`."""
        options: dict[int, int] = {}
        for position in self.order:
            if self.exists(position, options):
                options[position] = vector[position]
        return options

    def vector(self, options: Mapping[int, int]) -> Vector:
        """0 where a decision does not exist, as `SearchSpace.encode` has it."""
        return tuple(options.get(position, 0) for position in range(len(self.sizes)))

    def drawn(self, generator: np.random.Generator) -> Vector:
        """Each option of each decision as likely as the others."""
        return self._completed({}, generator)

    def mutated(self, vector: Sequence[int], generator: np.random.Generator) -> Vector:
        """Another option for one decision; those that come to exist by it are drawn, those that cease are dropped.

        The vector itself where no decision has two options.
        """
        options = self.existing(vector)
        free = [position for position in options if self.sizes[position] > 1]
        if not free:
            return self.vector(options)
        chosen = free[int(generator.integers(len(free)))]
        other = int(generator.integers(self.sizes[chosen] - 1))
        options[chosen] = other + (other >= options[chosen])
        return self._completed(options, generator)

    def _completed(self, known: Mapping[int, int], generator: np.random.Generator) -> Vector:
        options: dict[int, int] = {}
        for position in self.order:
            if self.exists(position, options):
                drawn = known[position] if position in known else int(generator.integers(self.sizes[position]))
                options[position] = drawn
        return self.vector(options)
