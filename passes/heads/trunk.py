"""The trunk of a classifier: its layers from the image to the head, and changes to one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nascompiler.ir import Graph, ModelError, Node, Value
from nascompiler.ir.attributes import SymbolRef


@dataclass(frozen=True)
class Trunk:
    """`layers` from the image to the classifier `head`; `strides[i]` is the stride of the result of layer i."""

    graph: Graph
    head: Node
    layers: tuple[Node, ...]
    strides: tuple[int, ...]

    @property
    def image(self) -> Value:
        return self.layers[0].operands[0]

    def last_reduction(self) -> int:
        """Index of the last layer that halves height and width; raises ModelError when there is none."""
        found = [i for i, layer in enumerate(self.layers) if layer.attributes.get("stride", 1) != 1]
        if not found or found[-1] == 0:
            raise ModelError(f"{self.graph.name}: no layer behind the first has a stride")
        return found[-1]


def trunk_of(graph: Graph) -> Trunk:
    """The trunk of an architecture that ends in one arch.classifier.

    Raises ModelError when it does not, when its layers are no chain, and while strides are open.
    """
    heads = [node for node in graph.nodes if node.op.name == "arch.classifier"]
    if len(heads) != 1 or not heads[0].result.is_output:
        raise ModelError(f"{graph.name} does not end in one arch.classifier, whose place another head could take")
    layers: list[Node] = []
    value = heads[0].operands[0]
    while value.producer is not None:
        layers.append(value.producer)
        if len(value.producer.operands) != 1:
            raise ModelError(f"{value.producer!r}: heads need a chain of layers behind the image")
        value = value.producer.operands[0]
    if not layers:
        raise ModelError(f"{graph.name} has no layers before its classifier")
    layers.reverse()
    strides, total = [], 1
    for layer in layers:
        total *= closed(layer, "stride") if "stride" in layer.attributes else 1
        strides.append(total)
    return Trunk(graph, heads[0], tuple(layers), tuple(strides))


def closed(node: Node, attribute: str) -> Any:
    """The value of an attribute; raises ModelError while a choice is open there."""
    value = node[attribute]
    if isinstance(value, SymbolRef):
        raise ModelError(f"{node!r}: its {attribute} is the open choice {value}; close it first (decide)")
    return value


def tap(graph: Graph, node: Node, endpoint: str) -> Value:
    """What the last layer of an arch.block computes inside, by the name of an `endpoint`.

    The block becomes one with two results, in the same place.
    """
    name = node.results[0].name
    named = graph.insert(
        node.op,
        node.operands,
        {**node.attributes, "endpoint": endpoint},
        before=node,
        names=(name, f"{name}_{endpoint}" if name else ""),
        origin=node.origin,
    )
    graph.replace_all_uses(node.results[0], named.results[0])
    graph.erase(node)
    return named.results[1]


def split_first(graph: Graph, node: Node) -> Node:
    """The first of the layers that a block with repeats stands for, made a block of its own, with the stride.

    The others stay together under the block's name.
    """
    repeats = closed(node, "repeats")
    if repeats == 1:
        return node
    name = node.results[0].name
    first = graph.insert(
        node.op,
        node.operands,
        {**node.attributes, "repeats": 1},
        before=node,
        names=(f"{name}_first" if name else "",),
        origin=node.origin,
    )
    graph.set_operand(node, 0, first.results[0])
    graph.set_attributes(node, repeats=repeats - 1, stride=1)
    return first
