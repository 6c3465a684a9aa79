"""From the nodes of a region to steps on views: what is memory under another shape costs nothing from here on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nascompiler.backends.tpu.compiler.legality import (
    BYTES,
    activations_of,
    base_name,
    broadcast_of,
    slice_ranges,
)
from nascompiler.backends.tpu.compiler.tensors import View
from nascompiler.backends.tpu.compiler.work import ElementwiseWork, Network, PoolWork, SumWork, Window, Work
from nascompiler.ir.graph import Node, Value


def build_network(name: str, nodes: Sequence[Node], labels: Mapping[Node, str]) -> Network:
    """The steps that compute `nodes`, which are in topological order and which the machine can all compute."""
    return _Builder(name, nodes, labels).run()


class _Builder:
    def __init__(self, name: str, nodes: Sequence[Node], labels: Mapping[Node, str]) -> None:
        self.name, self.nodes, self.labels = name, nodes, labels
        self.inside = set(nodes)
        self.views: dict[Value, View] = {}
        self.work: list[Work] = []
        self.lookups = self._fused_lookups()
        self.placed = self._places()

    def run(self) -> Network:
        inputs = self._outside_values()
        for value in inputs:
            self.views[value] = View.new(value.name, value.type)
        for node in self.nodes:
            if node not in self.lookups.values():
                _BUILD[base_name(node)](self, node)
        outputs = [v for n in self.nodes for v in n.results if self._leaves(v)]
        for value in outputs:
            if not self.views[value].is_solid:  # the host wants it without gaps
                assert value.producer is not None
                whole = View.new(value.name, value.type)
                self._copy(value.producer, self.views[value], whole)
                self.views[value] = whole
        return Network(
            self.name,
            self.work,
            [(v, self.views[v]) for v in inputs],
            [(v, self.views[v]) for v in outputs],
            dict(self.labels),
        )

    def _outside_values(self) -> list[Value]:
        """The activations that others make, in the order of their first use."""
        found = (v for n in self.nodes for v in activations_of(n) if v.producer not in self.inside)
        return list(dict.fromkeys(found))

    def _leaves(self, value: Value) -> bool:
        return value.is_output or any(user not in self.inside for user in value.users)

    def _fused_lookups(self) -> dict[Node, Node]:
        """Node -> the lookup of its result, where nothing else wants the result."""
        found = {}
        for node in self.nodes:
            if base_name(node) not in ("conv2d", "linear", "add", "mul", "requantize"):
                continue
            user = node.result.sole_user
            if user is None or user not in self.inside or base_name(user) != "lookup":
                continue
            if node.result.type.dtype in BYTES:
                found[node] = user
        return found

    def _places(self) -> dict[Value, View]:
        """Where results of work are written that are channels of a larger tensor, and the larger tensors."""
        placed: dict[Value, View] = {}
        for node in reversed(self.nodes):
            if base_name(node) != "concat":
                continue
            whole = placed.setdefault(node.result, View.new(node.result.name, node.result.type))
            start = 0
            for value in node.operands:
                channels = value.type.static_shape[-1]
                maker = value.producer
                if maker in self.inside and maker is not None and value not in placed and base_name(maker) in _MAKERS:
                    placed[value] = whole.slice(start, channels)
                start += channels
        return placed

    def _write(self, value: Value) -> View:
        """Where a result is written."""
        view = self.placed.get(value) or View.new(value.name, value.type)
        self.views[value] = view
        return view

    def sum(self, node: Node) -> None:
        lookup = self.lookups.get(node)
        x = self.views[node.operands[0]]
        write = self._write(node.result if lookup is None else lookup.result)
        if base_name(node) == "conv2d":
            top, left, _, _ = node["padding"]
            kernel = node.operands[1].type.static_shape[:2]
            window = Window((kernel[0], kernel[1]), node["strides"], top, left, node["dilation"])
            groups = node["groups"]
        else:
            window, groups = Window(), 1
        self.work.append(SumWork(self.labels[node], node, (x,), write, window, groups, lookup))

    def elementwise(self, node: Node) -> None:
        reads = tuple(self.views[v] for v in node.operands[:2])
        lookup = self.lookups.get(node)
        small = broadcast_of(node) if reads[0].geometry != reads[1].geometry else None
        write = self._write(node.result if lookup is None else lookup.result)
        kind = base_name(node)
        if small == 0:
            reads = (reads[1], reads[0])
        self.work.append(
            ElementwiseWork(self.labels[node], node, reads, write, kind, small is not None, small == 0, lookup)
        )

    def unary(self, node: Node) -> None:
        lookup = self.lookups.get(node)
        x = self.views[node.operands[0]]
        write = self._write(node.result if lookup is None else lookup.result)
        self.work.append(ElementwiseWork(self.labels[node], node, (x,), write, base_name(node), lookup=lookup))

    def pool(self, node: Node) -> None:
        x = self.views[node.operands[0]]
        name = base_name(node)
        if name == "global_average_pool":
            window = Window((x.geometry.height, x.geometry.width))
        else:
            top, left, _, _ = node["padding"]
            window = Window(node["kernel"], node["strides"], top, left, node["dilation"])
        kind = "max" if name == "max_pool2d" else "average"
        counts = name == "average_pool2d" and bool(node["count_include_pad"])
        self.work.append(PoolWork(self.labels[node], node, (x,), self._write(node.result), kind, window, counts))

    def view(self, node: Node) -> None:
        (operand,) = activations_of(node)
        found = self.views[operand].reshaped(node.result.type)
        if found is None:  # its channels lie between those of others: a dense copy has the shape
            copy = View.new(operand.name, operand.type)
            self._copy(node, self.views[operand], copy)
            found = copy.reshaped(node.result.type)
        assert found is not None, node
        self.views[node.result] = found

    def split(self, node: Node) -> None:
        start = 0
        for value in node.results:
            channels = value.type.static_shape[-1]
            self.views[value] = self.views[node.operands[0]].slice(start, channels)
            start += channels

    def slice(self, node: Node) -> None:
        view = self.views[node.operands[0]]
        cuts = slice_ranges(node)
        if len(cuts) == 4:
            view = view.crop(cuts[1], cuts[2])
        self.views[node.result] = view.slice(cuts[-1].start, len(cuts[-1]))

    def concat(self, node: Node) -> None:
        whole = self.placed[node.result]
        start = 0
        for value in node.operands:
            channels = value.type.static_shape[-1]
            part = whole.slice(start, channels)
            if self.views[value] != part:
                self._copy(node, self.views[value], part)
            start += channels
        self.views[node.result] = whole

    def _copy(self, node: Node, source: View, write: View) -> None:
        self.work.append(ElementwiseWork(self.labels[node], node, (source,), write, "copy"))


_MAKERS = frozenset(
    {
        "conv2d",
        "linear",
        "add",
        "mul",
        "lookup",
        "requantize",
        "average_pool2d",
        "global_average_pool",
        "max_pool2d",
        "concat",
    }
)
"""Ops that write their result, and may write it among the channels of a larger tensor."""

_BUILD = {
    "conv2d": _Builder.sum,
    "linear": _Builder.sum,
    "add": _Builder.elementwise,
    "mul": _Builder.elementwise,
    "lookup": _Builder.unary,
    "requantize": _Builder.unary,
    "average_pool2d": _Builder.pool,
    "global_average_pool": _Builder.pool,
    "max_pool2d": _Builder.pool,
    "reshape": _Builder.view,
    "flatten": _Builder.view,
    "squeeze": _Builder.view,
    "unsqueeze": _Builder.view,
    "split": _Builder.split,
    "slice": _Builder.slice,
    "concat": _Builder.concat,
}


def layers_of(work: Iterable[Work]) -> list[str]:
    """The labels of steps, each once."""
    return list(dict.fromkeys(step.label for step in work))
