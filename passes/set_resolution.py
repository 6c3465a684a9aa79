"""The resolution multiplier of the MobileNets (arXiv:1704.04861, section 3.4), as a size in pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nascompiler.ir import Graph, UsageError, Value
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass

ACCEPTED = "pixels as 224, or height x width as 1024x2048"


@register_pass
@dataclass(frozen=True)
class SetResolution(Pass):
    """Gives the input image of an architecture another `size`: `224`, or height and width as `1024x2048`.

    Raises UsageError when it is smaller than the strides of the network allow: the last feature map must have a pixel
    that no other one shares its window with.
    """

    requires_level = ("arch",)
    preserves = Nothing("another input")

    size: int | str

    def __post_init__(self) -> None:
        parse_size(self.size)

    def run(self, graph: Graph, context: PassContext) -> None:
        images = [v for v in graph.inputs if v.type.rank == 4]
        if len(images) != 1:
            named = ", ".join(f"{v.name} {v.type}" for v in graph.inputs)
            raise UsageError(f"size needs one input that is an image [N, H, W, C]; {graph.name} has {named}")
        smallest = total_stride(graph)
        size = parse_size(self.size)
        if min(size) < smallest:
            raise UsageError(
                f"size is {self.size}; accepted for {graph.name}: {smallest} and more (its strides multiply to that)"
            )
        batch, *_, channels = images[0].type.shape or ()
        wanted = images[0].type.with_shape((batch, *size, channels))
        if wanted != images[0].type:
            graph.set_type(images[0], wanted)


def parse_size(size: int | str) -> tuple[int, int]:
    """`224` or `"1024x2048"` as (height, width); raises UsageError for anything else."""
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", str(size))
    if match is None or 0 in (pair := (int(match[1]), int(match[2] or match[1]))):
        raise UsageError(f"size is {size!r}; accepted: {ACCEPTED}")
    return pair


def total_stride(graph: Graph) -> int:
    """The largest product of strides along any path of an architecture; strides that are open count as 1."""
    strides: dict[Value, int] = dict.fromkeys(graph.inputs, 1)
    for node in graph.nodes:
        own = node.attributes.get("stride", 1)
        before = max((strides.get(v, 1) for v in node.operands), default=1)
        strides.update(dict.fromkeys(node.results, before * own if isinstance(own, int) else before))
    return max(strides.values(), default=1)
