"""How a network is trained, as data."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, inf, pi


@dataclass(frozen=True)
class Recipe:
    """AdamW (arXiv:1711.05101) with a linear warm-up and a cosine to 0, cross entropy with smoothed labels.

    `weight_decay` is left off vectors: biases, scales and shifts of batch norms. `shift` and `recolour` vary the
    training images; see `augmentation`. `threads` is part of the recipe since sums in another order round otherwise.
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

    def __post_init__(self) -> None:
        for name, smallest in {"epochs": 1, "batch_size": 1, "shift": 0, "threads": 1}.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; accepted: whole numbers from {smallest} on")
        for name in ("warm_up_epochs", "weight_decay"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name} is {getattr(self, name)}; accepted: numbers from 0 on")
        if not 0 < self.learning_rate < inf:
            raise ValueError(f"learning_rate is {self.learning_rate}; accepted: numbers above 0")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing is {self.label_smoothing}; accepted: numbers from 0 to below 1")

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate when this part of the training, 0 to 1, is over."""
        warm_up = min(self.warm_up_epochs / self.epochs, 1.0)
        if warm_up > 0 and progress <= warm_up:
            return self.learning_rate * progress / warm_up
        return self.learning_rate * (1 + cos(pi * (progress - warm_up) / (1 - warm_up))) / 2
