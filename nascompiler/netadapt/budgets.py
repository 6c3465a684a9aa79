"""What a network may take: `18ms`, `0.6x`, `cpu=18ms`, `params<=1M`, `macs<=0.5x`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nascompiler.ir.errors import UsageError
from nascompiler.search.units import duration_text, parse_count, parse_duration_ns

SIZES = ("params", "macs")
"""Resources that need no target: parameters and multiply-adds. Any other resource is the latency on a target."""

ACCEPTED = (
    "a time as 18ms, a part of what the network takes as 0.6x, [TARGET=] in front of either, params<=1M, macs<=1G"
)


@dataclass(frozen=True)
class Budget:
    """A bound on a resource (a target's latency in ns, params or macs), or a factor of what the network begins with."""

    resource: str
    bound: float | None = None
    factor: float | None = None

    def of(self, original: float) -> float:
        """The bound for a network that begins with so much."""
        if self.bound is not None:
            return self.bound
        assert self.factor is not None
        return self.factor * original

    def __str__(self) -> str:
        return (
            f"{self.resource}<={amount_text(self.resource, self.bound) if self.factor is None else f'{self.factor:g}x'}"
        )

    def to_json(self) -> dict[str, Any]:
        return {"resource": self.resource, "bound": self.bound, "factor": self.factor}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Budget:
        return cls(data["resource"], data["bound"], data["factor"])


def parse_budgets(latencies: Sequence[str], sizes: Sequence[str], targets: Sequence[str]) -> tuple[Budget, ...]:
    """Budgets on latencies (each for all targets, or for the one it names) and on sizes.

    Raises UsageError that lists everything wrong: forms, factors outside of 0 to 1, unknown targets, two for one
    resource, none at all.
    """
    found: list[Budget] = []
    wrong: list[str] = []
    for text in latencies:
        name, equals, amount = text.rpartition("=")
        if equals and name.strip() not in targets:
            wrong.append(f"{text!r}: {name.strip()!r} is not among the targets: {', '.join(targets)}")
            continue
        for target in [name.strip()] if equals else targets:
            _add(found, wrong, text, target, amount)
    for text in sizes:
        match = re.fullmatch(r"\s*(\w+)\s*<=\s*(.+)", text)
        if match is None or match[1] not in SIZES:
            wrong.append(f"{text!r} is no budget; accepted: params<=1M, macs<=300M, or a part as params<=0.5x")
            continue
        _add(found, wrong, text, match[1], match[2])
    named = [budget.resource for budget in found]
    wrong += [f"two budgets are given for {name}" for name in dict.fromkeys(named) if named.count(name) > 1]
    if not found and not wrong:
        wrong.append(f"no budget is given; accepted: {ACCEPTED}")
    if wrong:
        raise UsageError("; ".join(dict.fromkeys(wrong)))
    return tuple(found)


def _add(found: list[Budget], wrong: list[str], text: str, resource: str, amount: str) -> None:
    factor = re.fullmatch(r"\s*(\d*\.?\d+)\s*x\s*", amount)
    try:
        if factor is None:
            found.append(Budget(resource, (parse_count if resource in SIZES else parse_duration_ns)(amount)))
        elif 0 < float(factor[1]) < 1:
            found.append(Budget(resource, factor=float(factor[1])))
        else:
            wrong.append(f"{text!r}: a factor is between 0 and 1, as 0.6x")
    except UsageError as error:
        wrong.append(f"{text!r}: {error}; or a part of what the network takes, as 0.6x")


def amount_text(resource: str, value: float | None) -> str:
    """A value of a resource with its unit."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if resource in SIZES else duration_text(float(f"{value:.4g}"))


def within(values: Mapping[str, float], bounds: Mapping[str, float], names: Iterable[str] | None = None) -> bool:
    """Whether no resource exceeds its bound."""
    return all(values[name] <= bounds[name] for name in (bounds if names is None else names))
