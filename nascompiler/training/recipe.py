"""How a network is trained, as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import cos, inf, pi
from typing import Any

from nascompiler.ir.errors import UsageError, choices_text, unknown

OPTIMIZERS = ("adamw", "sgd", "rmsprop")
SCHEDULES = ("cosine", "exponential")


@dataclass(frozen=True)
class Recipe:
    """An optimizer and its learning rate over time, cross entropy with smoothed labels, how images are varied.

    `optimizer` is AdamW (arXiv:1711.05101), SGD with `momentum` (Nesterov's), or RMSProp as MnasNet's and MobileNetV3's
    (decay 0.9, `momentum`, epsilon 0.001). After a linear warm-up the learning rate follows a `cosine` to 0 or falls
    `exponential`ly by `decay` every `decay_epochs`, in steps, as in those papers.

    `weight_decay` is left off vectors: biases, scales and shifts of batch norms. `clip_norm` bounds the norm of the
    gradient (0: no bound). With an `average` above 0 what is evaluated and kept are exponential moving averages of the
    weights with this decay. `auxiliary` is the weight of the loss at outputs other than the first. `shift`, `recolour`
    and `flip` vary the training images; see `augmentation`. `threads` is part of the recipe since sums in another order
    round otherwise, and so is `fused`: one kernel for all parameters, which is faster for small networks.
    """

    epochs: int = 9
    batch_size: int = 128
    learning_rate: float = 4e-3
    warm_up_epochs: float = 0.5
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    shift: int = 4
    recolour: bool = False
    threads: int = 1
    optimizer: str = "adamw"
    momentum: float = 0.9
    schedule: str = "cosine"
    decay: float = 0.97
    decay_epochs: float = 2.4
    clip_norm: float = 0.0
    average: float = 0.0
    auxiliary: float = 0.4
    flip: bool = False
    fused: bool = False

    def __post_init__(self) -> None:
        for name, smallest in {"epochs": 1, "batch_size": 1, "shift": 0, "threads": 1}.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; accepted: whole numbers from {smallest} on")
        for name in ("warm_up_epochs", "weight_decay", "clip_norm", "auxiliary"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name} is {getattr(self, name)}; accepted: numbers from 0 on")
        for name in ("learning_rate", "decay_epochs"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name} is {getattr(self, name)}; accepted: numbers above 0")
        for name in ("label_smoothing", "momentum", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; accepted: numbers from 0 to below 1")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay is {self.decay}; accepted: numbers above 0 and up to 1")
        for name, accepted in {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} is {getattr(self, name)!r}; accepted: {choices_text(accepted)}")

    def __repr__(self) -> str:
        """Without the later fields where they have their defaults: names of trained files stand for this text."""
        shown = (f for i, f in enumerate(fields(self)) if i < _FIRST_FIELDS or getattr(self, f.name) != f.default)
        return f"Recipe({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate when this part of the training, 0 to 1, is over."""
        warm_up = min(self.warm_up_epochs / self.epochs, 1.0)
        if warm_up > 0 and progress <= warm_up:
            return self.learning_rate * progress / warm_up
        if self.schedule == "exponential":
            return self.learning_rate * float(self.decay ** (progress * self.epochs // self.decay_epochs))
        return self.learning_rate * (1 + cos(pi * (progress - warm_up) / (1 - warm_up))) / 2

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Recipe:
        """Raises UsageError for a setting that there is not, or a value that is not accepted."""
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise unknown("setting of a recipe", name, known)
        try:
            return cls(**data)
        except (TypeError, ValueError) as error:
            raise UsageError(f"recipe: {error}") from None


_FIRST_FIELDS = 9
