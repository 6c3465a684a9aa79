"""A search space: how many architectures it holds, how they are numbered, listed and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from nascompiler.ir import Attribute, Choice, Graph, UsageError
from nascompiler.ir.errors import choices_text, unknown
from nascompiler.ir.text.syntax import format_attribute
from nascompiler.passes.decide import Decide, at_random, conditions_first, from_vector
from nascompiler.passes.infrastructure.manager import run_pipeline
from nascompiler.passes.infrastructure.pipeline import Pipeline, Step

Decisions = Mapping[str, Attribute]
"""The option taken for each choice whose condition holds, by name."""

Vector = tuple[int, ...]
"""The index of the option of each choice, in order of declaration; 0 where the choice's condition does not hold."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """The architectures that closing the choices of a graph gives.

    Two ways to close them count as one architecture when they differ only in choices whose condition does not hold,
    and as two otherwise, even where the networks happen to be equal (NASNet's ordered pairs of states, for example).
    """

    graph: Graph

    @property
    def name(self) -> str:
        return self.graph.name

    @property
    def choices(self) -> Mapping[str, Choice]:
        return self.graph.choices

    @cached_property
    def _ordered(self) -> list[Choice]:
        """The choices so that each follows the one that it depends on."""
        return [self.choices[name] for name in conditions_first(self.choices)]

    @cached_property
    def size(self) -> int:
        """The number of architectures."""
        dependent: dict[str, list[Choice]] = {name: [] for name in self.choices}
        for choice in self._ordered:
            if choice.condition is not None:
                dependent[choice.condition[0]].append(choice)
        below: dict[str, int] = {}
        for choice in reversed(self._ordered):
            below[choice.name] = sum(
                prod(below[d.name] for d in dependent[choice.name] if d.condition and option in d.condition[1])
                for option in choice.options
            )
        return prod(below[choice.name] for choice in self._ordered if choice.condition is None)

    def encode(self, decisions: Decisions) -> Vector:
        """The decisions as indices; raises UsageError that lists every decision missing, unknown or not allowed."""
        self.check(decisions)
        return tuple(
            choice.options.index(decisions[name]) if name in decisions else 0 for name, choice in self.choices.items()
        )

    def decode(self, vector: Sequence[int]) -> dict[str, Attribute]:
        """The decisions that indices stand for; those of choices whose condition does not hold are ignored.

        Raises UsageError listing every index out of range.
        """
        return self._existing(from_vector(self.choices, vector))

    def architecture(self, decisions: Decisions | Sequence[int]) -> Graph:
        """The closed graph, still at the arch level, from decisions or their vector; raises UsageError as they do."""
        vector = self.encode(decisions) if isinstance(decisions, Mapping) else self.encode(self.decode(decisions))
        return run_pipeline(self.graph, Pipeline((Step(Decide(vector=vector)),)))

    def sample(self, seed: int) -> dict[str, Attribute]:
        """Decisions at random, each option of a choice as likely as the others; what `decide{seed=...}` takes."""
        return self._existing(at_random(self.choices, seed))

    def enumerate(self) -> Iterator[dict[str, Attribute]]:
        """All decisions, one after the other, the last choice changing fastest; `size` of them."""
        taken: dict[str, int] = {}
        position = 0
        while True:
            decisions = {name: self.choices[name].options[index] for name, index in taken.items()}
            for place in range(position, len(self._ordered)):
                choice = self._ordered[place]
                if _exists(choice, decisions):
                    taken[choice.name] = 0
                    decisions[choice.name] = choice.options[0]
            yield {name: decisions[name] for name in self.choices if name in decisions}
            position = self._advance(taken)
            if position == 0:
                return

    def _advance(self, taken: dict[str, int]) -> int:
        """Take the next option of the last choice that has one, forgetting those behind; 0 at the end of the space."""
        for place in range(len(self._ordered), 0, -1):
            choice = self._ordered[place - 1]
            index = taken.pop(choice.name, None)
            if index is not None and index + 1 < len(choice.options):
                taken[choice.name] = index + 1
                return place
        return 0

    def check(self, decisions: Decisions) -> None:
        """Raises UsageError that lists everything wrong with decisions, and what would be accepted."""
        wrong = [str(unknown("choice", name, self.choices)) for name in decisions if name not in self.choices]
        existing = self._existing(decisions)
        for choice in self._ordered:
            name, accepted = choice.name, choices_text(map(format_attribute, choice.options))
            if name not in decisions:
                if _exists(choice, existing):
                    wrong.append(f"{name} is missing; accepted: {accepted}")
            elif name not in existing:
                assert choice.condition is not None
                other, options = choice.condition
                wrong.append(f"{name} exists only where {other} is {choices_text(map(format_attribute, options))}")
            elif decisions[name] not in choice.options:
                wrong.append(f"{name} cannot be {format_attribute(decisions[name])}; accepted: {accepted}")
        if wrong:
            raise UsageError(f"decisions for {self.name}: {'; '.join(wrong)}")

    def _existing(self, decisions: Decisions) -> dict[str, Attribute]:
        """Those of choices whose condition holds, in order of declaration."""
        kept: dict[str, Attribute] = {}
        for choice in self._ordered:
            if choice.name in decisions and _exists(choice, kept):
                kept[choice.name] = decisions[choice.name]
        return {name: kept[name] for name in self.choices if name in kept}


def _exists(choice: Choice, decisions: Decisions) -> bool:
    if choice.condition is None:
        return True
    other, options = choice.condition
    return other in decisions and decisions[other] in options
