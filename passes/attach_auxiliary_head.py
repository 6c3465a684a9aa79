"""A second classifier in the middle of a network, for the time of its training (NASNet's released code)."""

from __future__ import annotations

from dataclasses import dataclass

from nascompiler.ir import Graph, ModelError, Value
from nascompiler.passes.infrastructure.base import Nothing, Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass

OUTPUT = "auxiliary"
"""The name of its output."""


@register_pass
@dataclass(frozen=True)
class AttachAuxiliaryHead(Pass):
    """Adds the output `auxiliary`: logits from what the last layer with a stride takes, two thirds into NASNet.

    Its classes are those of the classifier. Its loss counts with a weight in training, 0.4 as published; training ends
    with the network as it would be without it.
    Raises ModelError when the network has no classifier, no layer with a stride behind the first, or already has one.
    """

    requires_level = ("arch",)
    preserves = Nothing("another output")

    def run(self, graph: Graph, context: PassContext) -> None:
        heads = [node for node in graph.nodes if node.op.name == "arch.classifier"]
        if len(heads) != 1:
            raise ModelError(f"{graph.name} has {len(heads)} classifiers; accepted: one")
        if OUTPUT in graph.output_names:
            raise ModelError(f"{graph.name} already has an output {OUTPUT!r}")
        outputs = dict(zip(graph.output_names, graph.outputs, strict=True))
        made = graph.insert(
            "arch.auxiliary_classifier",
            [_place(graph)],
            {"classes": heads[0]["classes"]},
            before=heads[0],
            names=(OUTPUT,),
        )
        graph.set_outputs({**outputs, OUTPUT: made.result})
        context.count("auxiliary head attached")


def _place(graph: Graph) -> Value:
    """The first operand of the last layer that halves height and width and is not the first layer."""
    for node in reversed(list(graph.nodes)):
        if node.attributes.get("stride", 1) != 1 and node.operands[0] not in graph.inputs:
            return node.operands[0]
    raise ModelError(f"{graph.name}: no layer behind the first has a stride, so there is no place for a second head")
