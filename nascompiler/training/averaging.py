"""Exponential moving averages of weights, which are evaluated in place of the weights (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Averages of all float tensors in the state of a module, statistics of batch norms included.

    Early on the decay is (1 + steps) / (10 + steps), as in TensorFlow, so that the first weights are soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._module = module
        self._averages = [tensor.detach().clone() for tensor in _floats(module)]

    def update(self) -> None:
        """After a step of the optimizer."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, _floats(self._module), 1 - decay)

    def assign(self) -> None:
        """Put the averages in the place of the weights."""
        with torch.no_grad():
            torch._foreach_copy_(_floats(self._module), self._averages)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averages inside the block, and its own weights after it."""
        own = [tensor.detach().clone() for tensor in _floats(self._module)]
        self.assign()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(_floats(self._module), own)


def _floats(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in module.state_dict().values() if tensor.is_floating_point()]
