"""What a region computes, step by step, before it is cut into instructions: one piece of work for each layer."""

from __future__ import annotations

from dataclasses import dataclass, field

from nascompiler.backends.tpu.compiler.tensors import View
from nascompiler.ir.graph import Node, Value

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Which pixels a result depends on. Pixels outside the image have the value `pad`, in pooling they do not count."""

    kernel: Pair = (1, 1)
    strides: Pair = (1, 1)
    top: int = 0
    left: int = 0
    dilation: Pair = (1, 1)

    @property
    def taps(self) -> int:
        return self.kernel[0] * self.kernel[1]


@dataclass(frozen=True, eq=False)
class Work:
    """A step. `node` is what it computes, `reads` and `writes` where from and where to."""

    label: str
    node: Node
    reads: tuple[View, ...]
    write: View

    @property
    def views(self) -> tuple[View, ...]:
        return (*self.reads, self.write)


@dataclass(frozen=True, eq=False)
class SumWork(Work):
    """Sums of products with constant weights: a convolution, or a matrix product as one of 1x1."""

    window: Window
    groups: int
    lookup: Node | None = None
    """A table that the rounded results are looked up in."""

    @property
    def group_channels(self) -> int:
        """Channels of x in a group."""
        return self.reads[0].geometry.channels // self.groups

    @property
    def group_features(self) -> int:
        """Channels of the result in a group."""
        return self.write.geometry.channels // self.groups

    @property
    def weight_element(self) -> int:
        """Bytes of a weight."""
        return self.node.operands[1].type.dtype.bytes

    @property
    def is_depthwise(self) -> bool:
        return self.groups > 1 and self.group_channels == 1 and self.group_features == 1


@dataclass(frozen=True, eq=False)
class ElementwiseWork(Work):
    """add, mul, requantize, lookup or copy.

    With `broadcast`, the second operand read has one pixel for each image; `swapped` says that it is the node's first.
    """

    kind: str
    broadcast: bool = False
    swapped: bool = False
    lookup: Node | None = None


@dataclass(frozen=True, eq=False)
class PoolWork(Work):
    """The maximum or the mean under a window."""

    kind: str
    window: Window
    count_padding: bool = False


@dataclass(eq=False)
class Network:
    """The steps of a region in order; inputs arrive from the host before the first, outputs leave after the last."""

    name: str
    work: list[Work]
    inputs: list[tuple[Value, View]]
    outputs: list[tuple[Value, View]]
    labels: dict[Node, str] = field(default_factory=dict)

    @property
    def images(self) -> int | None:
        """How many images every tensor has; None where they differ, so that a batch cannot be split."""
        views = [v for w in self.work for v in w.views] + [v for _, v in (*self.inputs, *self.outputs)]
        counts = {view.geometry.images for view in views} | {view.tensor.images for view in views}
        return counts.pop() if len(counts) == 1 else None
