"""All that an adaptation is told, as its study keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from nascompiler.ir.errors import UsageError, choices_text
from nascompiler.netadapt.budgets import Budget
from nascompiler.netadapt.shrinkable import PRESETS
from nascompiler.passes.shrinking import CRITERIA
from nascompiler.search.errors import StudyError

RULES = ("ratio", "accuracy")
CHANGEABLE = ("parallel", "attempts", "timeout_s")
"""What may differ when an adaptation is gone on with."""

KIND = "netadapt"


@dataclass(frozen=True)
class AdaptSettings:
    """See `nascompiler netadapt --help`.

    A step takes `step * decay ** i` of what the network takes in the beginning (0.025 and 0.96: NetAdapt's released
    code; MobileNetV3: 0.01 and 1). `rule` chooses by the change of accuracy for each part of the latency that is saved
    (`ratio`, MobileNetV3) or by accuracy (NetAdapt). Proposals are trained for `steps` steps by `fine_tune`, a recipe;
    `train` is the recipe of the long training in the end, None for none, `from_scratch` with new weights. Numbers of
    channels are multiples of `multiple`. With `measure` each proposal is compiled and timed.
    """

    model: str
    data: str
    targets: tuple[str, ...]
    budgets: tuple[Budget, ...]
    step: float = 0.025
    decay: float = 0.96
    proposals: str = "all"
    rule: str = "ratio"
    criterion: str = "l2"
    multiple: int = 8
    steps: int = 100
    fine_tune: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] | None = None
    from_scratch: bool = False
    measure: bool = False
    resolution: int | None = None
    seed: int = 0
    parallel: int = 1
    attempts: int = 3
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        wrong = []
        if not 0 < self.step < 1:
            wrong.append(f"step is {self.step:g}; accepted: a part of the latency between 0 and 1, as 0.025")
        if not 0 < self.decay <= 1:
            wrong.append(f"decay is {self.decay:g}; accepted: numbers above 0 and up to 1")
        for name, accepted in {"proposals": tuple(PRESETS), "rule": RULES, "criterion": tuple(CRITERIA)}.items():
            if getattr(self, name) not in accepted:
                wrong.append(f"{name} is {getattr(self, name)!r}; accepted: {choices_text(accepted)}")
        for name in ("multiple", "parallel", "attempts"):
            if getattr(self, name) < 1:
                wrong.append(f"{name} is {getattr(self, name)}; accepted: whole numbers from 1 on")
        if self.steps < 0:
            wrong.append(f"steps is {self.steps}; accepted: whole numbers from 0 on")
        for budget in self.budgets:
            reachable = self.step / (1 - self.decay) if self.decay < 1 else 1.0
            if budget.factor is not None and 1 - budget.factor > reachable:
                wrong.append(
                    f"steps of {self.step:g} x {self.decay:g}^i add up to {reachable:.0%}, and {budget} asks for "
                    f"{1 - budget.factor:.0%}: take a larger step or decay"
                )
        if wrong:
            raise UsageError("; ".join(wrong))

    def step_part(self, iteration: int) -> float:
        """The part of the original latency that an iteration, counted from 0, takes."""
        return self.step * float(self.decay**iteration)

    def to_json(self) -> dict[str, Any]:
        return {"kind": KIND, **asdict(self), "budgets": [budget.to_json() for budget in self.budgets]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises StudyError for those of something else, or of another version."""
        if data.get("kind") != KIND:
            raise StudyError("this is no study of netadapt; `nascompiler study` shows those of a search")
        given = {name: value for name, value in data.items() if name != "kind"}
        try:
            if unknown := sorted(given.keys() - {f.name for f in fields(cls)}):
                raise KeyError(", ".join(unknown))
            budgets = tuple(Budget.from_json(budget) for budget in given["budgets"])
            return cls(**{**given, "targets": tuple(given["targets"]), "budgets": budgets})
        except (KeyError, TypeError) as error:
            raise StudyError(f"the settings of the study cannot be read: {error}") from None

    def resumed_with(self, other: Mapping[str, Any]) -> Self:
        """These settings with what `other` gives (not None); raises UsageError for what may not change."""
        given = {name: value for name, value in other.items() if value is not None}
        wrong = [
            f"{name} is {getattr(self, name)!r} in the study and {value!r} now"
            for name, value in given.items()
            if name not in CHANGEABLE and getattr(self, name) != value
        ]
        if wrong:
            raise UsageError(f"what is resumed keeps its settings: {'; '.join(wrong)}; leave them out, or begin anew")
        return replace(self, **{name: value for name, value in given.items() if name in CHANGEABLE})
