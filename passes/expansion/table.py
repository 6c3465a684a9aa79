"""The table of expanders: how each arch op is written in nn."""

from __future__ import annotations

from collections.abc import Callable

from nascompiler.ir import Value
from nascompiler.passes.expansion import blocks, cells, detection, heads, inception, layers, recurrent, segmentation

Expander = Callable[..., Value | tuple[Value, ...]]
"""`expander(expansion, node, *operands) -> results`, as many as the node has; an absent optional operand is None."""

EXPANDERS: dict[str, Expander] = {
    **layers.EXPANDERS,
    **recurrent.EXPANDERS,
    **inception.EXPANDERS,
    **blocks.EXPANDERS,
    **cells.EXPANDERS,
    **heads.EXPANDERS,
    **detection.EXPANDERS,
    **segmentation.EXPANDERS,
}
