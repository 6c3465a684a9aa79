"""What a lowering is, and the collection of those of one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from nascompiler.ir.graph import Node

Function = Callable[..., Any]
Permutation = tuple[int, ...]

OIHW: Permutation = (3, 2, 0, 1)
"""From our convolution weights HWIO to torch's."""


class Layout(Enum):
    """In which layout a function takes its images (values of four dimensions) and makes them."""

    AS_IS = "as in the graph, NHWC"
    CHANNELS_FIRST = "operand 0 and the results are NCHW"
    FOLLOW = "either, all operands alike; an attribute `axis` is translated"


@dataclass(frozen=True)
class Lowering:
    """An op in torch.

    `function` takes tensors by position (None for an absent operand) and attributes by keyword. `weights` are the
    permutations from our layout of an operand to the one that it takes: constants are kept permuted, so that the
    module's parameters look as torch's own. `prepare` may restate the attributes of a node.
    """

    function: Function
    layout: Layout = Layout.AS_IS
    weights: Mapping[int, Permutation] = field(default_factory=dict)
    prepare: Callable[[Node], dict[str, Any]] | None = None


class Family:
    """The lowerings of one file, by op without the prefix of its dialect."""

    def __init__(self, dialect: str = "nn") -> None:
        self.dialect = dialect
        self.lowerings: dict[str, Lowering] = {}

    def op(
        self,
        *names: str,
        layout: Layout = Layout.AS_IS,
        weights: Mapping[int, Permutation] | None = None,
        prepare: Callable[[Node], dict[str, Any]] | None = None,
    ) -> Callable[[Function], Function]:
        """Declare the function of these ops."""

        def declare(function: Function) -> Function:
            for name in names:
                self.lowerings[name] = Lowering(function, layout, weights or {}, prepare)
            return function

        return declare
