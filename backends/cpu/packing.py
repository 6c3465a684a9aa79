"""The order in which kernels read their weights: packed when compiling, read from front to back when running."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nascompiler.backends.cpu.tiling import Panel
from nascompiler.ir.types import Array


def pack_convolution(weight: Array, groups: int, cut: Sequence[Panel]) -> Array:
    """Weights [kh, kw, C / groups, O] as one vector: group, panel, kh, kw, input channel, channel of the panel."""
    per_group = weight.shape[3] // groups
    blocks = [
        weight[..., group * per_group + start : group * per_group + start + panel.width].reshape(-1)
        for group in range(groups)
        for panel in cut
        for start in range(panel.start, panel.start + panel.repeats * panel.width, panel.width)
    ]
    return np.concatenate(blocks) if blocks else np.zeros(0, weight.dtype)
