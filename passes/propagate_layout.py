"""Moves transposes down through the graph until they cancel, so that only its edges keep one.

The ONNX importer wraps every image op in a transpose to NHWC and one back. This pass lets the ops in between compute on
NHWC as well: constants and axes are permuted instead.

First a plan, then the changes, each one sweep over the nodes. In the plan a value behind a transpose is its *base* (the
value before it) and a permutation; a node whose operands are all permuted alike hands the permutation on to its results
(see `infrastructure.layout`). Where that ends (at outputs, at ops that depend on the order of axes) a transpose is put
back. Values that are connected through such nodes form a region; a region is changed only if the bytes that its
transposes move become fewer, or stay as many and move further down from a computation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

import numpy as np

from nascompiler.ir import Graph, Node, Trait, Value
from nascompiler.ir.types import Dim
from nascompiler.passes.infrastructure.base import Pass, PassContext, Tolerance
from nascompiler.passes.infrastructure.layout import (
    Permutation,
    Relaid,
    ScrambledReshape,
    aligned_shape,
    compose,
    identity,
    inverse,
    is_single,
    keeps_order,
    layout_operands,
    permuted_constant,
    relay,
    reshape_sizes,
    scrambled_reshape,
)
from nascompiler.passes.infrastructure.registry import register_pass
from nascompiler.passes.infrastructure.rewriter import Rewriter

_OPEN_SIZE = 64
"""What an open size other than the batch is taken for where transposes are weighed."""


@register_pass
@dataclass(frozen=True)
class PropagateLayout(Pass):
    """Move transposes down until they cancel: an imported network is NHWC but for its inputs and outputs.

    Results differ only by the order of sums (reductions, and linear layers whose rows are permuted).
    """

    requires_level = ("nn", "qnn")
    preserves = Tolerance(1e-5)

    def run(self, graph: Graph, context: PassContext) -> None:
        plan = _Plan(graph)
        if plan.is_empty:
            return
        for node, reason in plan.refused:
            context.miss(self.name, node, reason)
        _Changes(graph, plan, context).apply()


@dataclass
class _Region:
    """Values connected through nodes that hand a permutation on, and the bytes that their transposes move."""

    parent: _Region | None = None
    before: int = 0
    after: int = 0
    computed: bool = False
    """Whether a transpose in it is of a node's result, not of an input."""

    def root(self) -> _Region:
        region = self
        while region.parent is not None:
            if region.parent.parent is not None:
                region.parent = region.parent.parent
            region = region.parent
        return region

    def join(self, other: _Region) -> None:
        a, b = self.root(), other.root()
        if a is not b:
            b.parent = a
            a.before, a.after, a.computed = a.before + b.before, a.after + b.after, a.computed or b.computed

    @property
    def is_accepted(self) -> bool:
        root = self.root()
        return root.after < root.before or (root.after == root.before and (root.computed or root.before == 0))


@dataclass
class _Step:
    """What becomes of a node: a transpose (no `relaid`), or an op on bases, or a reshape that scrambles columns."""

    region: _Region
    permutation: Permutation
    relaid: Relaid | None = None
    scrambled: ScrambledReshape | None = None
    available: dict[int, Value] = field(default_factory=dict)
    """Operands that exist in the layout wanted already, as the result of a transpose."""


class _Plan:
    """What would become of each node, without changing anything."""

    def __init__(self, graph: Graph) -> None:
        self.layout: dict[Value, Permutation] = {}
        self.region: dict[Value, _Region] = {}
        self.steps: dict[Node, _Step] = {}
        self.columns: dict[Value, ScrambledReshape] = {}
        self.refused: list[tuple[Node, str]] = []
        self._transposed: dict[tuple[Value, Permutation], Value] = {}
        self._needed: set[Value] = set()
        self._converted: set[tuple[Value, Permutation]] = set()
        self._wanted = _wanted_permutations(graph)
        for node in graph.nodes:
            if node.op.name == "nn.transpose":
                self._transpose(node)
            elif any(v in self.layout for v in node.operands):
                self._other(node)
        for value in graph.outputs:
            self._need(value)

    @property
    def is_empty(self) -> bool:
        return not self.steps

    def _transpose(self, node: Node) -> None:
        (x,) = node.operands
        if x.is_constant or x.type.shape is None:
            return
        whole = compose(self.layout.get(x, identity(x.type.rank or 0)), node["permutation"])
        region = self.region[x] if x in self.layout else _Region(computed=x.producer is not None)
        region = region.root()
        region.before += 0 if keeps_order(x.type.shape, node["permutation"]) else _bytes(x)
        self._transposed.setdefault((x, node["permutation"]), node.result)
        self.steps[node] = _Step(region, whole)
        self._annotate(node.result, whole, region)

    def _annotate(self, value: Value, permutation: Permutation, region: _Region) -> None:
        if permutation != identity(len(permutation)):
            self.layout[value] = permutation
            self.region[value] = region

    def _other(self, node: Node) -> None:
        if node.op.name == "nn.shape" or self._hand_on(node) or self._scramble(node):
            return
        for value in node.operands:
            self._need(value)

    def _need(self, value: Value) -> None:
        """A value must exist as it is: a transpose must be put back."""
        if value in self.layout and value not in self._needed:
            self._needed.add(value)
            shape = value.type.shape
            assert shape is not None
            if not keeps_order(shape, inverse(self.layout[value])):
                self.region[value].root().after += _bytes(value)

    def _hand_on(self, node: Node) -> bool:
        """Plan a node that computes on the bases of its operands; false when it does not pay or is impossible."""
        operands = {i: node.operands[i] for i in layout_operands(node)}
        rank = max((v.type.rank or 0 for v in operands.values()), default=0)
        weights: dict[Permutation, int] = {}
        for value in operands.values():
            if value in self.layout and value.type.rank == rank:
                p = self.layout[value]
                weights[p] = weights.get(p, 0) + _bytes(value)
        if not weights:
            return False
        permutation = max(weights, key=lambda p: weights[p])
        relaid = relay(node, permutation)
        if relaid is None:
            return False
        step = _Step(_Region(), permutation, relaid)
        conversions = []
        for index, value in operands.items():
            cost = self._conversion(step, node, index, value)
            if cost:
                conversions.append(value)
        if conversions and any(self._wanted.get(v) != inverse(permutation) for v in node.results):
            self.refused.append((node, f"{conversions[0]!r} is in another layout"))
            return False
        for value in operands.values():
            if value in self.layout:
                step.region.join(self.region[value])
        for value in step.available.values():
            self._need(value)
        for value in conversions:
            if (value, permutation) not in self._converted:
                self._converted.add((value, permutation))
                step.region.root().after += _bytes(value)
        self.steps[node] = step
        for value, result in zip(node.results, relaid.results, strict=True):
            self._annotate(value, result, step.region)
        return True

    def _conversion(self, step: _Step, node: Node, index: int, value: Value) -> bool:
        """Whether an operand must be transposed anew for the node to compute in the layout of `step`."""
        p = step.permutation
        if value.array is not None or self.layout.get(value) == p or (is_single(value) and _broadcasts(node)):
            return False
        shape = aligned_shape(value.type, len(p))
        if shape is None:
            return True
        if value not in self.layout:
            if (value, inverse(p)) in self._transposed:
                step.available[index] = self._transposed[value, inverse(p)]
                return False
            if _broadcasts(node) or value.type.rank == len(p):
                return not keeps_order(shape, inverse(p)) or reshape_sizes(shape) is None
        return True

    def _scramble(self, node: Node) -> bool:
        """Plan a flatten whose users are linear layers, which can have their rows permuted instead."""
        x = node.operands[0]
        scrambled = scrambled_reshape(node, self.layout[x]) if x in self.layout else None
        if scrambled is None or node.result.is_output or not all(map(_is_linear, node.result.users)):
            return False
        self.steps[node] = _Step(self.region[x], self.layout[x], scrambled=scrambled)
        self.columns[node.result] = scrambled
        return True


def _broadcasts(node: Node) -> bool:
    return node.op.has(Trait.ELEMENTWISE)


def _is_linear(node: Node) -> bool:
    """A product of a value with a constant matrix, on the value's last axis."""
    return (
        node.op.name in ("nn.linear", "nn.matmul")
        and node.operands[1].array is not None
        and node.operands[1].type.rank == 2
        and node.operands[0] not in node.operands[1:]
    )


def _bytes(value: Value) -> int:
    """Quantised values weigh less than the float ones that are made of them."""
    sizes: Iterable[Dim] = value.type.shape or ()
    elements = prod(d if isinstance(d, int) else _OPEN_SIZE if i else 1 for i, d in enumerate(sizes))
    return elements * value.type.dtype.bytes


def _wanted_permutations(graph: Graph) -> dict[Value, Permutation]:
    """Of each value, the permutation by which all its users transpose it, perhaps after elementwise ops."""
    wanted: dict[Value, Permutation] = {}
    for node in reversed(list(graph.nodes)):
        for value in node.results:
            found = {_wanted_by(user, value, wanted) for user, _ in value.uses}
            only = found.pop() if len(found) == 1 else None
            if only is not None:
                wanted[value] = only
    return wanted


def _wanted_by(user: Node, value: Value, wanted: dict[Value, Permutation]) -> Permutation | None:
    if user.is_terminator:
        return None
    if user.op.name == "nn.transpose":
        permutation: Permutation = user["permutation"]
        return permutation
    if user.op.has(Trait.ELEMENTWISE) or user.op.name in ("nn.concat", "qnn.lookup"):
        return wanted.get(user.result) if user.result.type.rank == value.type.rank else None
    return None


class _Changes:
    """Carries a plan out."""

    def __init__(self, graph: Graph, plan: _Plan, context: PassContext) -> None:
        self._graph = graph
        self._plan = plan
        self._context = context
        self._rewriter = Rewriter(graph)
        self._base: dict[Value, Value] = {}
        self._put_back: dict[Value, Value] = {}
        self._permuted: dict[tuple[Value, Permutation], Value] = {}
        self._constants: dict[tuple[Value, Permutation, bool], Value] = {}
        self._replaced: list[Node] = []

    def apply(self) -> None:
        graph = self._graph
        for node in graph.nodes:
            step = self._plan.steps.get(node)
            if step is not None and step.region.is_accepted:
                self._change(node, step)
            elif any(v in self._base for v in node.operands):
                self._keep(node)
        outputs = tuple(self._in_place(v, None) for v in graph.outputs)
        if outputs != graph.outputs:
            graph.set_outputs(dict(zip(graph.output_names, outputs, strict=True)))
        for node in reversed(self._replaced):
            self._rewriter.erase(node)

    def _change(self, node: Node, step: _Step) -> None:
        self._replaced.append(node)
        if step.scrambled is not None:
            self._scramble(node, step.scrambled)
        elif step.relaid is not None:
            self._relay(node, step, step.relaid)
        else:
            (x,) = node.operands
            self._set_base(node.result, self._base.get(x, x), step.permutation)

    def _set_base(self, value: Value, base: Value, permutation: Permutation) -> None:
        if permutation == identity(len(permutation)):
            self._graph.replace_all_uses(value, base)
            self._context.count("transposes cancelled")
        else:
            self._base[value] = base

    def _relay(self, node: Node, step: _Step, relaid: Relaid) -> None:
        operands = list(node.operands)
        for index in layout_operands(node):
            operands[index] = self._in_layout(node, index, step)
        if relaid.op == "nn.reshape" and reshape_sizes(operands[0].type.shape or ()) == relaid.attributes["shape"]:
            results: tuple[Value, ...] = (operands[0],)
        else:
            results = self._graph.insert(
                relaid.op, operands, relaid.attributes, before=node, origin=node.origin
            ).results
        self._context.count("ops computed in another layout")
        for old, new, permutation in zip(node.results, results, relaid.results, strict=True):
            new.name = new.name or old.name
            if permutation == identity(len(permutation)):
                self._graph.replace_all_uses(old, new)
            else:
                self._base[old] = new

    def _in_layout(self, node: Node, index: int, step: _Step) -> Value:
        """The base of an operand under the permutation of the step."""
        value, p = node.operands[index], step.permutation
        if index in step.available:
            return self._in_place(step.available[index], node)
        if value in self._base and self._plan.layout[value] == p:
            return self._base[value]
        broadcasts = _broadcasts(node)
        if value.array is not None:
            key = (value, p, broadcasts)
            if key not in self._constants:
                array = permuted_constant(value.array, p, keep_rank=not broadcasts)
                self._constants[key] = self._graph.constant(array, value.name)
            return self._constants[key]
        if broadcasts and is_single(value):
            return self._in_place(value, node)
        source = self._base.get(value, value)
        back = inverse(p)
        if value in self._base:
            back = compose(self._plan.layout[value], back)
        if (source, back) not in self._permuted:
            self._permuted[source, back] = self._transposed(source, back, node)
        return self._permuted[source, back]

    def _transposed(self, value: Value, permutation: Permutation, before: Node | None) -> Value:
        """A transpose, as a reshape where that is the same; axes of size 1 are added in front as needed."""
        shape = aligned_shape(value.type, len(permutation))
        assert shape is not None
        origin = value.producer.origin if value.producer is not None else ""
        sizes = reshape_sizes(shape[axis] for axis in permutation)
        if keeps_order(shape, permutation) and sizes is not None:
            producer = value.producer
            if producer is not None and producer.op.name in ("nn.reshape", "nn.flatten"):
                value = producer.operands[0]
            if value.type.shape == tuple(shape[axis] for axis in permutation):
                return value
            return self._graph.insert("nn.reshape", [value], {"shape": sizes}, before=before, origin=origin).result
        if value.type.rank != len(permutation):
            raised = {"axes": tuple(range(len(permutation) - (value.type.rank or 0)))}
            value = self._graph.insert("nn.unsqueeze", [value], raised, before=before, origin=origin).result
        attributes = {"permutation": permutation}
        return self._graph.insert("nn.transpose", [value], attributes, before=before, origin=origin).result

    def _in_place(self, value: Value, before: Node | None) -> Value:
        """The value itself, for a user that takes it as it is."""
        if value not in self._base:
            return value
        if value not in self._put_back:
            base, permutation = self._base[value], self._plan.layout[value]
            shape, producer = base.type.shape, value.producer
            assert shape is not None
            assert producer is not None
            unchanged = producer.op.name == "nn.transpose" and producer.operands[0] is base
            if unchanged and (not keeps_order(shape, permutation) or reshape_sizes(shape) is None):
                self._put_back[value] = value
            else:
                self._put_back[value] = self._transposed(base, permutation, before)
        return self._put_back[value]

    def _keep(self, node: Node) -> None:
        """A node that takes its operands as they are."""
        if node.op.name == "nn.shape":
            self._shape(node)
        elif node.operands[0] in self._plan.columns:
            self._permute_rows(node)
        else:
            for index, value in enumerate(node.operands):
                original = self._in_place(value, node)
                if original is not value:
                    self._graph.set_operand(node, index, original)

    def _shape(self, node: Node) -> None:
        """shape(transpose(x, p)) = gather(shape(x), p)."""
        (x,) = node.operands
        permutation = self._plan.layout[x][node["start"] : node["end"]]
        build = self._rewriter.before(node)
        whole = build.nn.shape(self._base[x])
        self._rewriter.replace(node, build.nn.gather(whole, build.constant(np.asarray(permutation, np.int64))))

    def _scramble(self, node: Node, scrambled: ScrambledReshape) -> None:
        base = self._base[node.operands[0]]
        made = self._graph.insert("nn.reshape", [base], {"shape": scrambled.shape}, before=node, origin=node.origin)
        made.result.name = node.result.name
        self._base[node.result] = made.result
        self._context.count("linear(flatten(transpose(x)), w) => linear(flatten(x), rows of w permuted)")

    def _permute_rows(self, node: Node) -> None:
        x, weight, *bias = node.operands
        assert weight.array is not None
        rows = weight.array[self._plan.columns[x].order]
        self._graph.set_operands(node, [self._base[x], self._graph.constant(rows, weight.name), *bias])
