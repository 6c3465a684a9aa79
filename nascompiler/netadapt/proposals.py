"""The proposals of a step: of everything that can shrink, the most channels with which the step's goals are met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nascompiler.netadapt.shrinkable import Shrinkable
from nascompiler.search.interfaces import Narrowing

Values = Mapping[str, float]
"""What a network takes, by resource."""


@dataclass(frozen=True)
class Proposal:
    """A network with fewer channels: how many stay in which groups, and what it takes."""

    name: str
    counts: Mapping[int, int]
    values: Values

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "counts": {str(group): count for group, count in self.counts.items()},
            "values": dict(self.values),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Proposal:
        return cls(data["name"], {int(group): count for group, count in data["counts"].items()}, data["values"])


def goals(
    values: Values, originals: Values, bounds: Values, part: float, margins: Values | None = None
) -> dict[str, float]:
    """What the next network may take: a part of the original less than this one, but no less than the bound asks.

    `margins`, as parts of the original too, are how much below its bound a resource may have to come.
    """
    found = {}
    for name, bound in bounds.items():
        below = (margins or {}).get(name, 0.0) * originals[name] if values[name] > bound else 0.0
        found[name] = max(bound - below, values[name] - part * originals[name])
    return found


def propose(
    shrinkables: Sequence[Shrinkable],
    lengths: Sequence[int],
    narrowings: Mapping[str, Narrowing],
    factors: Values,
    values: Values,
    goals: Values,
    multiple: int = 8,
) -> list[Proposal]:
    """One proposal for each shrinkable that can meet the goals, with the largest number of channels that does.

    `lengths` are those of the groups, `values` what the network takes as it is, `factors` what the narrowings' figures
    are multiplied by. The number of channels is sought between neighbours that meet the goals and that do not, since
    what a network takes falls with its channels, nearly always; what is proposed meets the goals for certain.
    """
    searches = [_Search(each, lengths, values, goals, multiple) for each in shrinkables]
    while asked := [(search, count) for search in searches if (count := search.next()) is not None]:
        variants = [search.counts(count) for search, count in asked]
        found = {name: narrowing.amounts(variants) for name, narrowing in narrowings.items()}
        for place, (search, count) in enumerate(asked):
            search.tell(count, {name: found[name][place] * factors.get(name, 1.0) for name in narrowings})
    return [search.proposal for search in searches if search.proposal is not None]


def smallest(shrinkables: Sequence[Shrinkable], lengths: Sequence[int], multiple: int) -> dict[int, int]:
    """The numbers of channels when everything is as narrow as it can get."""
    kept: dict[int, int] = {}
    for each in shrinkables:
        options = _options(lengths[each.groups[0]], multiple)
        if options:
            kept.update(each.counts(options[0], lengths))
    return kept


def _options(length: int, multiple: int) -> list[int]:
    """The numbers of channels that a group of this length may be brought to, in rising order; two stay at least."""
    return [count for count in range(multiple, length, multiple) if count > 1]


class _Search:
    """The largest number of channels of one shrinkable with which the goals are met, question by question."""

    def __init__(
        self, shrinkable: Shrinkable, lengths: Sequence[int], values: Values, goals: Values, multiple: int
    ) -> None:
        self._shrinkable, self._lengths, self._goals = shrinkable, lengths, goals
        self._options = _options(lengths[shrinkable.groups[0]], multiple)
        self._excess_at = {len(self._options): self._excess(values)}
        self._low, self._high = -1, len(self._options)
        self._asked = 0
        self.proposal: Proposal | None = None

    def counts(self, count: int) -> dict[int, int]:
        return self._shrinkable.counts(count, self._lengths)

    def next(self) -> int | None:
        """The number of channels to ask about; None when the search is over."""
        if not self._options:
            return None
        if self._low < 0:  # whether the fewest are enough
            return self._options[0] if self._high > 0 else None
        if self._high - self._low < 2:
            return None
        guess = (self._low + self._high) // 2
        if self._asked % 2:  # where a straight line meets the goal, every other time
            low, high = self._excess_at[self._low], self._excess_at[self._high]
            if high > low:
                guess = self._low + int((self._high - self._low) * -low / (high - low))
        return self._options[min(max(guess, self._low + 1), self._high - 1)]

    def tell(self, count: int, values: Values) -> None:
        place = self._options.index(count)
        self._asked += 1
        self._excess_at[place] = self._excess(values)
        if self._excess_at[place] <= 0:
            self._low = place
            self.proposal = Proposal(self._shrinkable.name, self.counts(count), values)
        else:
            self._high = place

    def _excess(self, values: Values) -> float:
        """By how much the worst of the goals is missed, as a part of it; 0 and below: all are met."""
        return max(values[name] / goal - 1 for name, goal in self._goals.items())
