"""The graph: values, nodes in a linked list in topological order, named cells and choices.

Single assignment: a value has one producer and knows its uses. All operations on a node (insert, erase, replace an
operand) take constant time, so that a sweep of rewrites is linear in the size of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from nascompiler.ir.attributes import Attribute, symbols_in
from nascompiler.ir.constant import Constant
from nascompiler.ir.errors import ModelError
from nascompiler.ir.ops import OPS, InferenceError, OpDef
from nascompiler.ir.types import Array, DType, TensorType, join_types


class Value:
    """An input of the graph, a constant, or a result of a node."""

    __slots__ = ("_uses", "constant", "index", "name", "producer", "type")

    def __init__(
        self,
        type: TensorType,
        name: str = "",
        *,
        producer: Node | None = None,
        index: int = 0,
        constant: Constant | None = None,
    ) -> None:
        self.type = type
        self.name = name
        self.producer = producer
        self.index = index
        self.constant = constant
        self._uses: dict[tuple[Node, int], None] = {}

    @property
    def is_constant(self) -> bool:
        return self.constant is not None

    @property
    def is_input(self) -> bool:
        return self.producer is None and self.constant is None

    @property
    def array(self) -> Array | None:
        """The array of a constant whose values are loaded, else None."""
        return None if self.constant is None or self.constant.is_placeholder else self.constant.array

    @property
    def has_array(self) -> bool:
        """Whether `array` would give values; those of lazy constants are not made to find out."""
        return self.constant is not None and not self.constant.is_placeholder

    @property
    def uses(self) -> list[tuple[Node, int]]:
        """(node, operand index) of every use; the graph's outputs are uses by its terminator."""
        return list(self._uses)

    @property
    def users(self) -> list[Node]:
        """The nodes that use this value, once each, without the graph's terminator."""
        return [n for n in dict.fromkeys(node for node, _ in self._uses) if not n.is_terminator]

    @property
    def use_count(self) -> int:
        return len(self._uses)

    @property
    def is_output(self) -> bool:
        """Whether the graph returns this value."""
        return any(node.is_terminator for node, _ in self._uses)

    @property
    def sole_user(self) -> Node | None:
        """The node of the only use, or None when there are more, none, or the graph returns the value."""
        if len(self._uses) != 1:
            return None
        node, _ = next(iter(self._uses))
        return None if node.is_terminator else node

    def __repr__(self) -> str:
        sigil = "@" if self.is_constant else "%"
        return f"{sigil}{self.name or '?'} : {self.type}"


class Node:
    """One application of an op. Made by `Graph.insert`; changed through the methods of its graph."""

    __slots__ = (
        "_inferred",
        "_next",
        "_operands",
        "_pending",
        "_previous",
        "_results",
        "attributes",
        "graph",
        "op",
        "origin",
    )

    def __init__(self, op: OpDef | None, graph: Graph, origin: str = "") -> None:
        self._op_init(op, graph, origin)

    def _op_init(self, op: OpDef | None, graph: Graph, origin: str) -> None:
        self.op: OpDef = op  # type: ignore[assignment]  # only a terminator has none, and it is never handed out
        self.graph: Graph | None = graph
        self.origin = origin
        self._operands: tuple[Value, ...] = ()
        self._pending: list[Value] | None = None
        """Operands after replacements one by one, until someone looks: a concat may have thousands."""
        self.attributes: dict[str, Attribute] = {}
        self._results: tuple[Value, ...] = ()
        self._inferred: tuple[object, ...] = ()
        """Attributes and types, operands first, as they were when the types of the results were last inferred."""
        self._previous: Node | None = None
        self._next: Node | None = None

    @property
    def is_terminator(self) -> bool:
        return self.op is None

    @property
    def is_erased(self) -> bool:
        return self.graph is None

    @property
    def following(self) -> Node | None:
        """The node after this one in the graph's order, None at the end: `insert(before=...)` takes both."""
        return self._next

    @property
    def operands(self) -> tuple[Value, ...]:
        if self._pending is not None:
            self._operands, self._pending = tuple(self._pending), None
        return self._operands

    @property
    def results(self) -> tuple[Value, ...]:
        return self._results

    @property
    def result(self) -> Value:
        """The only result; raises ValueError when there are several."""
        if len(self._results) != 1:
            raise ValueError(f"{self.op.name} has {len(self._results)} results")
        return self._results[0]

    def operand(self, name: str) -> Value | None:
        """The operand declared under that name, None when it is optional and absent."""
        for index, declared in enumerate(self.op.operands):
            if declared.name == name:
                return self.operands[index] if index < len(self.operands) else None
        raise KeyError(f"{self.op.name} has no operand {name!r}")

    def __getitem__(self, attribute: str) -> Any:
        """The value of an attribute, defaults included."""
        return self.attributes[attribute]

    def __repr__(self) -> str:
        names = ", ".join(repr(v).partition(" ")[0] for v in self.operands)
        results = ", ".join(f"%{v.name or '?'}" for v in self._results)
        return f"{results} = {'return' if self.is_terminator else self.op.name}({names})"


@dataclass(frozen=True)
class Choice:
    """An open decision: a name and its ordered options.

    `condition` is (name of another choice, the options of it under which this one exists), or None when it always does.
    """

    name: str
    options: tuple[Attribute, ...]
    condition: tuple[str, tuple[Attribute, ...]] | None = None

    def __post_init__(self) -> None:
        if not self.options:
            raise ModelError(f"choice @{self.name} has no options")
        if len(set(map(repr, self.options))) != len(self.options):
            raise ModelError(f"choice @{self.name} lists an option twice")


class Graph:
    """A function from named inputs to named outputs.

    `cells` are named sub-graphs that arch nodes refer to; `choices` the open decisions that attributes refer to;
    `attributes` facts about the graph as a whole (its source, its data set), kept by every pass.
    """

    def __init__(self, name: str = "main") -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.output_names: list[str] = []
        self.choices: dict[str, Choice] = {}
        self.cells: dict[str, Graph] = {}
        self.attributes: dict[str, Attribute] = {}
        self.version = 0
        """Grows with every change; analyses are cached under it."""
        self._terminator = Node(None, self)
        self._head: Node | None = None
        self._tail: Node | None = None
        self._size = 0

    # -- reading

    @property
    def nodes(self) -> Iterator[Node]:
        """Nodes in topological order.

        The graph may change meanwhile: nodes erased ahead are not visited, nodes inserted ahead are, as long as the
        current node is not the one erased.
        """
        node = self._head
        while node is not None:
            if not node.is_erased:
                yield node
            node = node._next  # a node that is erased still knows what followed it

    def __len__(self) -> int:
        """Number of nodes."""
        return self._size

    @property
    def outputs(self) -> tuple[Value, ...]:
        return self._terminator.operands

    @property
    def constants(self) -> list[Value]:
        """The constants in use, in order of first use."""
        seen: dict[Value, None] = {}
        for node in self.nodes:
            seen.update((v, None) for v in node.operands if v.is_constant)
        seen.update((v, None) for v in self.outputs if v.is_constant)
        return list(seen)

    @property
    def is_open(self) -> bool:
        """Whether choices are still to be made."""
        return bool(self.choices)

    @property
    def level(self) -> str:
        """The highest dialect still present, cells included: arch before nn before qnn before a target's."""
        present = {n.op.dialect for g in (self, *self.cells.values()) for n in g.nodes}
        for dialect in ("arch", "nn", "qnn"):
            if dialect in present:
                return dialect
        return min(present, default="nn")

    def input(self, name: str) -> Value:
        for value in self.inputs:
            if value.name == name:
                return value
        raise ModelError(f"no input named {name!r}; inputs: {', '.join(v.name for v in self.inputs)}")

    # -- building

    def add_input(self, name: str, type: TensorType) -> Value:
        """Append an input; raises ModelError when the name is taken."""
        if any(v.name == name for v in self.inputs):
            raise ModelError(f"two inputs named {name!r}")
        value = Value(type, name)
        self.inputs.append(value)
        self.version += 1
        return value

    def constant(self, values: ArrayLike | Constant, name: str = "") -> Value:
        """A value that is constant; NumPy arrays keep their element type, so pass float32 where float32 is meant."""
        constant = values if isinstance(values, Constant) else Constant.of(values)
        return Value(constant.type, name, constant=constant)

    def insert(
        self,
        op: str | OpDef,
        operands: Iterable[Value],
        attributes: Mapping[str, Any] | None = None,
        *,
        before: Node | None = None,
        types: Sequence[TensorType] | None = None,
        names: Sequence[str] = (),
        origin: str = "",
    ) -> Node:
        """Make a node before another (default: at the end).

        Result types are inferred unless given. Raises ModelError when the attributes, the number of operands or their
        types do not fit.
        """
        if before is not None and before.graph is not self:
            raise ValueError("cannot insert before a node that is erased or of another graph")
        definition = op if isinstance(op, OpDef) else OPS.find(op)
        node = Node(definition, self, origin)
        node.attributes = definition.complete_attributes(attributes or {})
        node._operands = tuple(operands)
        inferred = types is None
        if types is None:
            types = infer_types(node)
        node._results = tuple(
            Value(t, names[i] if i < len(names) else "", producer=node, index=i) for i, t in enumerate(types)
        )
        if inferred:
            keep_inferred(node)
        for index, value in enumerate(node.operands):
            value._uses[node, index] = None
        self._link(node, before)
        return node

    def set_outputs(self, outputs: Mapping[str, Value]) -> None:
        """Replace the outputs: name -> value, in order."""
        self._set_operands(self._terminator, tuple(outputs.values()))
        self.output_names = list(outputs)

    # -- changing

    def set_operand(self, node: Node, index: int, value: Value) -> None:
        """Let one operand be another value; the uses of the others are not touched, however many there are."""
        if node._pending is None:
            node._pending = list(node._operands)
        del node._pending[index]._uses[node, index]
        node._pending[index] = value
        value._uses[node, index] = None
        self.version += 1

    def set_operands(self, node: Node, operands: Iterable[Value]) -> None:
        self._set_operands(node, tuple(operands))

    def set_attributes(self, node: Node, **attributes: Any) -> None:
        """Change some attributes; types are not inferred again (see `infer_all`)."""
        node.attributes = node.op.complete_attributes({**node.attributes, **attributes})
        self.version += 1

    def set_type(self, value: Value, type: TensorType) -> None:
        value.type = type
        self.version += 1

    def replace_all_uses(self, old: Value, new: Value) -> None:
        """Let every user of `old`, the outputs included, use `new`."""
        if old is new:
            return
        for node, index in old.uses:
            self.set_operand(node, index, new)
        if not new.name and new.producer is not None:
            new.name = old.name

    def erase(self, node: Node) -> None:
        """Remove a node whose results have no use; raises ValueError when one has."""
        for value in node.results:
            if value._uses:
                raise ValueError(f"{value!r} is still used; it cannot be erased")
        for index, value in enumerate(node.operands):
            del value._uses[node, index]
        if node._previous is None:
            self._head = node._next
        else:
            node._previous._next = node._next
        if node._next is None:
            self._tail = node._previous
        else:
            node._next._previous = node._previous
        node.graph = None
        self._size -= 1
        self.version += 1

    def clone(self) -> Graph:
        """A copy that shares the constants; takes time linear in the number of nodes."""
        return self.clone_with_map()[0]

    def clone_with_map(self) -> tuple[Graph, dict[Value, Value]]:
        """A copy, and where each value went."""
        copy = Graph(self.name)
        copy.attributes = dict(self.attributes)
        copy.choices = dict(self.choices)
        copy.cells = {name: cell.clone() for name, cell in self.cells.items()}
        mapped: dict[Value, Value] = {v: copy.add_input(v.name, v.type) for v in self.inputs}
        for node in self.nodes:
            twin = Node(node.op, copy, node.origin)
            twin.attributes = dict(node.attributes)
            twin._operands = tuple(_mapped(v, mapped) for v in node.operands)
            twin._results = tuple(Value(v.type, v.name, producer=twin, index=i) for i, v in enumerate(node.results))
            mapped.update(zip(node.results, twin._results, strict=True))
            if is_inferred(node):
                twin._inferred = (twin.attributes, *node._inferred[1:])
            for index, value in enumerate(twin._operands):
                value._uses[twin, index] = None
            copy._link(twin, None)
        copy._set_operands(copy._terminator, tuple(_mapped(v, mapped) for v in self.outputs))
        copy.output_names = list(self.output_names)
        return copy, mapped

    def become(self, other: Graph) -> None:
        """Take over inputs, nodes and outputs of another graph, which is a copy made for this: it is empty afterwards.

        Name and attributes stay this graph's.
        """
        self.inputs, self.output_names = other.inputs, other.output_names
        self.choices, self.cells = other.choices, other.cells
        self._terminator, self._head, self._tail, self._size = other._terminator, other._head, other._tail, other._size
        for node in (*self.nodes, self._terminator):
            node.graph = self
        self.version += 1
        empty = Graph(other.name)
        other.inputs, other.output_names, other.choices, other.cells = [], [], {}, {}
        other._terminator, other._head, other._tail, other._size = empty._terminator, None, None, 0
        other._terminator.graph = other

    def _set_operands(self, node: Node, operands: tuple[Value, ...]) -> None:
        for index, value in enumerate(node.operands):
            del value._uses[node, index]
        node._operands, node._pending = operands, None
        for index, value in enumerate(operands):
            value._uses[node, index] = None
        self.version += 1

    def _link(self, node: Node, before: Node | None) -> None:
        if before is not None and before.is_terminator:
            before = None
        previous = self._tail if before is None else before._previous
        node._previous, node._next = previous, before
        if previous is None:
            self._head = node
        else:
            previous._next = node
        if before is None:
            self._tail = node
        else:
            before._previous = node
        self._size += 1
        self.version += 1

    @property
    def bodies(self) -> tuple[Graph, ...]:
        """The graph and its cells: what a pass over nodes has to visit."""
        return (self, *self.cells.values())

    def to_networkx(self) -> Any:
        """The graph as a `networkx.MultiDiGraph`; see `ir.networkx_view`."""
        from nascompiler.ir.networkx_view import to_networkx

        return to_networkx(self)

    def __str__(self) -> str:
        from nascompiler.ir.text.printer import print_graph

        return print_graph(self)


def _mapped(value: Value, mapped: dict[Value, Value]) -> Value:
    if value not in mapped:
        if not value.is_constant:
            raise ModelError(f"{value!r} is used before it is defined, or belongs to another graph")
        mapped[value] = Value(value.type, value.name, constant=value.constant)
    return mapped[value]


def keep_inferred(node: Node) -> None:
    """Note that the types of a node's results agree with what is inferred now: see `is_inferred`."""
    if not node.op.infer_uses_constants and not any(map(symbols_in, node.attributes.values())):
        node._inferred = (node.attributes, *(v.type for v in node.operands), *(v.type for v in node._results))


def is_inferred(node: Node) -> bool:
    """Whether inference would find nothing new: attributes and types are the very objects that it has seen before."""
    seen = node._inferred
    if not seen or seen[0] is not node.attributes:
        return False
    values = (*node.operands, *node._results)
    return len(values) + 1 == len(seen) and all(v.type is t for v, t in zip(values, seen[1:], strict=True))


def infer_types(node: Node) -> tuple[TensorType, ...]:
    """Result types of a node from its operands and attributes.

    A node that waits for a choice gets types of unknown shape. Raises InferenceError, naming the op, when the
    operands do not fit.
    """
    op = node.op
    if len(node.operands) < op.required_operands or (node.operands and op.operand_at(len(node.operands) - 1) is None):
        expected = ", ".join(o.name + ("?" if o.optional else "..." if o.variadic else "") for o in op.operands)
        raise InferenceError(f"{op.name} got {len(node.operands)} operands; it takes ({expected})")
    for index, value in enumerate(node.operands):
        declared = op.operand_at(index)
        assert declared is not None
        if declared.dtypes is not None and value.type.dtype not in declared.dtypes:
            accepted = ", ".join(sorted(map(str, declared.dtypes)))
            raise InferenceError(f"{op.name}: {declared.name} is {value.type.dtype}; accepted: {accepted}")
        if declared.rank is not None and value.type.rank not in (None, declared.rank):
            raise InferenceError(f"{op.name}: {declared.name} is {value.type}; it must have {declared.rank} dimensions")
    types = tuple(v.type for v in node.operands)
    if op.is_open(node.attributes) or (op.dialect != "arch" and any(t.shape is None for t in types)):
        dtype = partial_dtype(node, types)
        return (TensorType(None, dtype),) * op.result_count(node.attributes)
    extra: dict[str, Any] = {}
    if op.infer_uses_constants:
        extra["constants"] = op.padded(tuple(v.array for v in node.operands))
    try:
        inferred = op.infer(*op.padded(types), **node.attributes, **extra)
    except InferenceError as error:
        raise InferenceError(f"{op.name}: {error}") from None
    return inferred if isinstance(inferred, tuple) else (inferred,)


def partial_dtype(node: Node, types: tuple[TensorType, ...]) -> DType:
    """The element type of a node's results when their shapes are not known yet; float32 where even that is open."""
    rule = node.op.result_dtype
    if isinstance(rule, str):
        chosen = node.attributes[rule]
        return chosen if isinstance(chosen, DType) else DType.F32
    if isinstance(rule, int):
        return types[rule].dtype if rule < len(types) else DType.F32
    return rule


def infer_all(graph: Graph) -> None:
    """Infer every type again from the inputs on, after input types or attributes have changed.

    A quantisation that was given to a value stays where inference says nothing about it.
    """
    for node in graph.nodes:
        for value, type in zip(node.results, infer_types(node), strict=True):
            if type.quantization is None and type.dtype == value.type.dtype:
                type = replace(type, quantization=value.type.quantization)
            if value.type != type:
                graph.set_type(value, type)


def refine_types(graph: Graph, changed: Iterable[Value] | None = None) -> None:
    """Make types more precise where operands have become so, in one sweep; what was known before stays known.

    `changed` are the values whose types or constants are new (default: all). Raises InferenceError, naming the node,
    where what is inferred contradicts what was known.
    """
    fresh = None if changed is None else set(changed)
    for node in graph.nodes:
        if fresh is None or not fresh.isdisjoint(node.operands):
            refined = refine_node(graph, node)
            if fresh is not None:
                fresh.update(refined)


def refine_node(graph: Graph, node: Node) -> list[Value]:
    """Infer one node again, keeping what was known; returns the results whose types have become more precise."""
    changed = []
    for value, type in zip(node.results, infer_types(node), strict=True):
        joined = join_types(value.type, type)
        if joined is None:
            raise InferenceError(f"{node!r}: the result is {value.type}, but inferred {type}")
        if joined != value.type:
            graph.set_type(value, joined)
            changed.append(value)
    return changed
