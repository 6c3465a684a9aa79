"""The sizes and counts that a picture of an architecture shows: those of what its nodes expand to."""

from __future__ import annotations

from dataclasses import dataclass, field

from nascompiler.architecture import expanded
from nascompiler.ir import Error, Graph, TensorType, Value
from nascompiler.passes.decide import close
from nascompiler.summary import summarize


@dataclass(frozen=True)
class Figures:
    """Types of values, and (parameters, multiply-adds) by the name of a node; empty while choices are open;
    channels of types are open then."""

    types: dict[Value, TensorType] = field(default_factory=dict)
    counts: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    params: int | None = None
    macs: int | None = None


def figures_of(graph: Graph) -> Figures:
    """Expand a copy of an architecture of which every value is an output, and look at those."""
    types = {v: v.type for v in graph.inputs}
    copy, mapped = graph.clone_with_map()
    values = [v for node in graph.nodes for v in node.results]
    copy.set_outputs({str(i): mapped[v] for i, v in enumerate(values)})
    if graph.is_open:
        return Figures(types | dict(zip(values, _sizes(copy), strict=True)))
    types |= dict(zip(values, (v.type for v in expanded(copy).outputs), strict=True))
    summary = summarize(graph)
    counts = {node.name: (node.params, node.macs) for node in summary.nodes}
    return Figures(types, counts, summary.params, summary.macs)


def _sizes(graph: Graph) -> list[TensorType]:
    """The outputs of an open architecture with the sizes of its first options, channels left open."""
    close(graph, {name: choice.options[0] for name, choice in graph.choices.items()})
    try:
        types = [v.type for v in expanded(graph).outputs]
    except Error:  # the first options are no network
        return [v.type for v in graph.outputs]
    return [t.with_shape((*t.shape[:-1], None)) if t.shape else t for t in types]


def shape_text(type: TensorType, *, batch: bool = False) -> str:
    """`56×56×24` for an image [1, 56, 56, 24]; a batch larger than one is shown as a factor."""
    if type.shape is None:
        return ""
    sizes = ["?" if d is None else str(d) for d in type.shape]
    if batch:
        return "×".join(sizes)
    if len(sizes) > 1 and sizes[0] == "1":
        sizes = sizes[1:]
    return "×".join(sizes) or "scalar"
