"""What an architecture is worth: accuracy × (latency / target)^w (MnasNet, arXiv:1807.11626, section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Self

from nascompiler.ir.errors import UsageError
from nascompiler.search.constraints import Constraint, missed
from nascompiler.search.evaluation import Evaluation

PRESETS: Mapping[str, tuple[float, float]] = {
    "accuracy": (0.0, 0.0),
    "soft": (-0.07, -0.07),
    "hard": (0.0, -1.0),
    "steep": (-0.15, -0.15),
}
"""Exponents (below the target, above it) by name: MnasNet's two, and MobileNetV3's for small networks."""

ACCEPTED = f"{', '.join(PRESETS)}, one exponent as -0.1, or two as 0,-1 (below the target, above it)"


@dataclass(frozen=True)
class Exponents:
    """w, where the latency is below (or at) the target, and above it."""

    below: float
    above: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """A preset or numbers; raises UsageError, also for exponents above 0, which reward slowness."""
        if text in PRESETS:
            return cls(*PRESETS[text])
        number = r"[+-]?\d+(?:\.\d+)?"
        match = re.fullmatch(rf"({number})(?:,({number}))?", text.replace(" ", ""))
        if match is None:
            raise UsageError(f"unknown objective {text!r}; accepted: {ACCEPTED}")
        below = float(match[1])
        above = below if match[2] is None else float(match[2])
        if below > 0 or above > 0:
            raise UsageError(f"objective {text!r} rewards slow networks; accepted: exponents of 0 and below")
        return cls(below, above)


@dataclass(frozen=True)
class Objective:
    """The reward of an evaluation: ACC · Π (LAT / T)^w over the `targets_ns`, by target; 0 where a constraint is
    missed, the accuracy where there is no target.
    """

    exponents: Exponents
    targets_ns: Mapping[str, float]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        wrong = [f"{name}: {ns}" for name, ns in self.targets_ns.items() if not (isfinite(ns) and ns > 0)]
        if wrong:
            raise UsageError(f"latency to aim for: {'; '.join(wrong)}; accepted: above 0")

    def reward(self, evaluation: Evaluation) -> float:
        """Raises KeyError where the evaluation lacks one of the targets."""
        if evaluation.accuracy is None or self.missed(evaluation):
            return 0.0
        reward = evaluation.accuracy
        for target, wanted_ns in self.targets_ns.items():
            ratio = evaluation.latencies[target].ns / wanted_ns
            exponent = self.exponents.below if ratio <= 1 else self.exponents.above
            if exponent:
                reward *= ratio**exponent
        return reward

    def missed(self, evaluation: Evaluation) -> list[Constraint]:
        return missed(self.constraints, evaluation)

    def slower_than_wanted(self, evaluation: Evaluation) -> list[str]:
        """The targets whose latency lies above the one aimed for."""
        return [t for t, wanted_ns in self.targets_ns.items() if evaluation.latencies[t].ns > wanted_ns]


def decided_before_training(constraints: Iterable[Constraint], evaluation: Evaluation) -> list[Constraint]:
    """Constraints that an evaluation without accuracy misses already: training it would be in vain."""
    return [c for c in missed(constraints, evaluation) if c.quantity != "accuracy"]
