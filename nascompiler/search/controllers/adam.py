"""Adam (arXiv:1412.6980) on a dictionary of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nascompiler.search.controllers.generator_state import array_state, restored_array

Arrays = dict[str, NDArray[np.float64]]


@dataclass
class Adam:
    """`first` and `second` are the running moments, `steps` how many were taken."""

    learning_rate: float
    decay: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    steps: int = 0
    first: Arrays = field(default_factory=dict)
    second: Arrays = field(default_factory=dict)

    def step(self, parameters: Arrays, gradients: Arrays) -> None:
        """Change the parameters in place, against their gradients."""
        self.steps += 1
        keep_first, keep_second = self.decay
        for name, gradient in gradients.items():
            first = self.first.setdefault(name, np.zeros_like(gradient))
            second = self.second.setdefault(name, np.zeros_like(gradient))
            first += (1 - keep_first) * (gradient - first)
            second += (1 - keep_second) * (gradient**2 - second)
            unbiased = first / (1 - keep_first**self.steps)
            scale = np.sqrt(second / (1 - keep_second**self.steps)) + self.epsilon
            parameters[name] -= self.learning_rate * unbiased / scale

    def state(self) -> dict[str, Any]:
        return {
            "steps": self.steps,
            "first": {name: array_state(value) for name, value in self.first.items()},
            "second": {name: array_state(value) for name, value in self.second.items()},
        }

    @classmethod
    def restore(cls, learning_rate: float, state: dict[str, Any]) -> Self:
        optimizer = cls(learning_rate, steps=state["steps"])
        optimizer.first = {name: restored_array(value) for name, value in state["first"].items()}
        optimizer.second = {name: restored_array(value) for name, value in state["second"].items()}
        return optimizer
