"""Hard constraints: `latency<=25ms`, `latency[cpu]<=25ms`, `params<=3M`, `macs<=300M`, `accuracy>=0.7`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Self

from nascompiler.ir.errors import UsageError
from nascompiler.search.evaluation import Evaluation
from nascompiler.search.units import duration_text, parse_count, parse_duration_ns

QUANTITIES = ("latency", "params", "macs", "accuracy")
ACCEPTED = "latency<=25ms, latency[TARGET]<=25ms, params<=3M, macs<=300M or accuracy>=0.7"

_FORM = re.compile(r"\s*([A-Za-z]+)\s*(?:\[([^\[\]]+)\])?\s*(<=|>=)\s*(.+?)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound on one quantity, in its unit: ns, counts, or accuracy from 0 to 1.

    A latency without a `target` means that of every target.
    """

    quantity: str
    bound: float
    at_most: bool = True
    target: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UsageError for anything that is not a constraint."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is no constraint; accepted: {ACCEPTED}")
        quantity, target, sign, value = match.groups()
        if quantity not in QUANTITIES:
            raise UsageError(f"{text!r} constrains {quantity!r}, which is not known; accepted: {ACCEPTED}")
        if target is not None and quantity != "latency":
            raise UsageError(f"{text!r}: only a latency has a target; accepted: {ACCEPTED}")
        at_most = quantity != "accuracy"
        if (sign == "<=") != at_most:
            raise UsageError(f"{text!r}: {quantity} takes {'<=' if at_most else '>='}; accepted: {ACCEPTED}")
        try:
            bound = parse_duration_ns(value) if quantity == "latency" else parse_count(value)
        except UsageError as error:
            raise UsageError(f"{text!r}: {error}") from None
        if quantity == "accuracy" and bound > 1:
            raise UsageError(f"{text!r}: an accuracy is a number from 0 to 1")
        return cls(quantity, bound, at_most, target)

    def __str__(self) -> str:
        where = f"[{self.target}]" if self.target else ""
        bound = duration_text(self.bound) if self.quantity == "latency" else f"{self.bound:.12g}"
        return f"{self.quantity}{where}{'<=' if self.at_most else '>='}{bound}"

    def values(self, evaluation: Evaluation) -> list[float]:
        """The figures that it bounds; an accuracy that is not known counts as met, so that it can be found out."""
        if self.quantity == "latency":
            wanted = evaluation.latencies if self.target is None else [self.target]
            return [evaluation.latencies[t].ns if t in evaluation.latencies else inf for t in wanted]
        if self.quantity == "accuracy":
            return [] if evaluation.accuracy is None else [evaluation.accuracy]
        return [float(evaluation.parameters if self.quantity == "params" else evaluation.macs)]

    def holds(self, evaluation: Evaluation) -> bool:
        return all(v <= self.bound if self.at_most else v >= self.bound for v in self.values(evaluation))


def parse_constraints(texts: Iterable[str], targets: Iterable[str]) -> tuple[Constraint, ...]:
    """All of them; raises one UsageError that lists everything wrong, targets that are not measured included."""
    known = list(targets)
    found, wrong = [], []
    for text in texts:
        try:
            constraint = Constraint.parse(text)
        except UsageError as error:
            wrong.append(str(error))
            continue
        found.append(constraint)
        if constraint.quantity == "latency" and not known:
            wrong.append(f"{text!r}: no target is given whose latency it could bound")
        elif constraint.target is not None and constraint.target not in known:
            wrong.append(f"{text!r}: {constraint.target!r} is not among the targets: {', '.join(known)}")
    if wrong:
        raise UsageError("; ".join(wrong))
    return tuple(found)


def missed(constraints: Iterable[Constraint], evaluation: Evaluation) -> list[Constraint]:
    """Those that the evaluation does not meet."""
    return [constraint for constraint in constraints if not constraint.holds(evaluation)]
