"""Ops that behave otherwise in training: batch norm, dropout and drop-path, as modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Drops whole examples (axis 0) of a path in training (ScheduledDropPath, arXiv:1707.07012).

    Each example is multiplied by Bernoulli(keep) / keep with keep = 1 - progress * (1 - keep_probability), where
    `progress` is the part of the training that is over, 0 to 1; see `set_drop_path_progress`.
    """

    def __init__(self, keep_probability: float) -> None:
        super().__init__()
        self.keep_probability = keep_probability
        self.progress = 1.0

    @property
    def keep(self) -> float:
        """The probability in use now."""
        return 1 - self.progress * (1 - self.keep_probability)

    def forward(self, x: Tensor) -> Tensor:
        keep = self.keep
        if not self.training or keep >= 1:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        mask = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(keep)
        return x * (mask / keep)

    def extra_repr(self) -> str:
        return f"keep_probability={self.keep_probability}"


def set_drop_path_progress(module: nn.Module, progress: float) -> None:
    """Tell every DropPath inside how far the training is: 0 at its start, 1 at its end and after."""
    for child in module.modules():
        if isinstance(child, DropPath):
            child.progress = min(max(progress, 0.0), 1.0)


_BATCH_NORMS: dict[int, type[nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}


def batch_norm(rank: int, channels: int, *, epsilon: float, momentum: float | None, dtype: torch.dtype) -> nn.Module:
    """torch's own module for inputs [N, C, ...] of 2 to 5 dimensions; its weights are set by the caller."""
    return _BATCH_NORMS[rank](channels, eps=epsilon, momentum=momentum, dtype=dtype)
