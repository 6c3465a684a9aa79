"""The verifier: every fault of a graph, each with its node and its origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nascompiler.ir.attributes import SymbolRef, symbols_in
from nascompiler.ir.errors import Error, Fault, VerificationError
from nascompiler.ir.graph import Graph, Node, Value, infer_types, is_inferred, keep_inferred
from nascompiler.ir.types import TensorType


@dataclass(frozen=True)
class Legality:
    """What a graph may still contain, stated by a pass or a backend and checked by the verifier.

    A node is legal when its op is in `ops` or its dialect in `dialects`, and not in `forbidden`. With `static`, every
    type must have known sizes; with `closed`, no choice may be open.
    """

    dialects: frozenset[str] = frozenset({"arch", "nn", "qnn"})
    ops: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    static: bool = False
    closed: bool = False

    def fault(self, node: Node) -> str | None:
        op = node.op
        if op.name in self.forbidden or not (op.name in self.ops or op.dialect in self.dialects):
            accepted = ", ".join([*(f"{d}.*" for d in sorted(self.dialects)), *sorted(self.ops)])
            return f"{op.name} is not legal here; accepted: {accepted}"
        return None


def verify(graph: Graph, legality: Legality | None = None) -> None:
    """Check a graph and its cells; raises VerificationError that lists every fault.

    In an open graph, types may be partial and nodes that wait for a choice are checked for structure only.
    """
    faults = list(find_faults(graph, legality))
    if faults:
        raise VerificationError(faults, title=f"graph {graph.name!r} is not valid")


def find_faults(graph: Graph, legality: Legality | None = None) -> Iterator[Fault]:
    """The faults of a graph and its cells, in order."""
    yield from _choices(graph, legality)
    for name, cell in graph.cells.items():
        if name != cell.name:
            yield Fault(f"@{name}", f"is the cell named @{cell.name}; both names must be the same")
        for fault in _body(cell, legality, graph):
            yield Fault(f"@{cell.name}: {fault.where}", fault.message, fault.origin)
        if cell.choices or cell.cells:
            yield Fault(f"@{cell.name}", "choices and cells belong to the graph, not to a cell")
    yield from _body(graph, legality, graph)


def _choices(graph: Graph, legality: Legality | None) -> Iterator[Fault]:
    if legality is not None and legality.closed and graph.choices:
        names = ", ".join(f"@{name}" for name in list(graph.choices)[:10])
        yield Fault("choices", f"{len(graph.choices)} still open ({names}); close them with decide")
    for choice in graph.choices.values():
        if choice.name in graph.cells:
            yield Fault(f"@{choice.name}", "names both a choice and a cell")
        if choice.condition is None:
            continue
        other, options = choice.condition
        if other not in graph.choices or other == choice.name:
            yield Fault(f"@{choice.name}", f"its condition names @{other}, which is no other choice")
        else:
            for option in options:
                if option not in graph.choices[other].options:
                    yield Fault(f"@{choice.name}", f"its condition names {option!r}, no option of @{other}")
    yield from _cyclic_conditions(graph)


def _cyclic_conditions(graph: Graph) -> Iterator[Fault]:
    for start in graph.choices:
        seen, at = {start}, start
        while True:
            condition = graph.choices[at].condition if at in graph.choices else None
            if condition is None:
                break
            at = condition[0]
            if at == start:
                yield Fault(f"@{start}", "its condition depends on itself")
            if at in seen:
                break
            seen.add(at)


def _body(graph: Graph, legality: Legality | None, root: Graph) -> Iterator[Fault]:
    defined: set[Value] = set(graph.inputs)
    static = legality is not None and legality.static
    for value in graph.inputs:
        yield from _type_faults(value, static)
    for what, names in (("inputs", [v.name for v in graph.inputs]), ("outputs", graph.output_names)):
        for name, count in Counter(names).items():
            if count > 1:
                yield Fault(what, f"{count} are named {name!r}")
    for node in graph.nodes:
        for message in _node_faults(node, defined, legality, root):
            yield Fault(repr(node), message, node.origin)
        for value in node.results:
            yield from _type_faults(value, static)
        defined.update(node.results)
    for name, value in zip(graph.output_names, graph.outputs, strict=True):
        if not value.is_constant and value not in defined:
            yield Fault(f"output {name!r}", f"{value!r} belongs to another graph")
    if not graph.outputs:
        yield Fault("return", "the graph has no output")


def _node_faults(node: Node, defined: set[Value], legality: Legality | None, root: Graph) -> Iterator[str]:
    for value in node.operands:
        if not value.is_constant and value not in defined:
            yield f"{value!r} is used before it is defined, or belongs to another graph"
        if value.is_constant and value.constant is not None and value.type != value.constant.type:
            yield f"{value!r} is a constant of type {value.constant.type}"
    if legality is not None and (message := legality.fault(node)):
        yield message
    if not is_inferred(node):  # of what was seen before and is still the same, no attribute refers to anything
        yield from _attribute_faults(node, root)
        yield from _inference_faults(node)


def _attribute_faults(node: Node, root: Graph) -> Iterable[str]:
    for name, value in node.attributes.items():
        for symbol in symbols_in(value):
            declared = node.op.attribute(name)
            wants_cell = isinstance(value, SymbolRef) and declared is not None and declared.kind.accepts(value)
            if wants_cell and symbol.name not in root.cells:
                yield f"attribute {name} refers to {symbol}, which is no cell; cells: {_listed(root.cells)}"
            elif not wants_cell and symbol.name not in root.choices:
                yield f"attribute {name} refers to {symbol}, which is no choice; choices: {_listed(root.choices)}"
            elif not wants_cell and isinstance(value, SymbolRef) and declared is not None:
                for option in root.choices[symbol.name].options:
                    accepted = declared.kind.accepts(option) or (
                        type(option) is int and declared.kind.accepts(float(option))
                    )
                    if not accepted:
                        yield f"option {option!r} of {symbol} does not fit {name}: {declared.kind.description}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"@{name}" for name in list(names)[:10]) or "none"


def _inference_faults(node: Node) -> Iterator[str]:
    try:
        inferred = infer_types(node)
    except Error as error:
        yield str(error)
        return
    if len(inferred) != len(node.results):
        yield f"has {len(node.results)} results; {node.op.name} makes {len(inferred)}"
        return
    different = [(v, type) for v, type in zip(node.results, inferred, strict=True) if not _same(v.type, type)]
    for value, type in different:
        yield f"%{value.name or value.index} is declared {value.type}, but inferred {type}"
    if not different:
        keep_inferred(node)


def _same(declared: TensorType, inferred: TensorType) -> bool:
    return declared.accepts(inferred) and (
        declared.quantization == inferred.quantization or inferred.quantization is None
    )


def _type_faults(value: Value, static: bool) -> Iterator[Fault]:
    if static and not value.type.is_static:
        yield Fault(repr(value), "its size is not known here; give the inputs' shapes (fix-shapes, --shape)")
    q = value.type.quantization
    if q is not None:
        if not value.type.dtype.is_integer:
            yield Fault(repr(value), "only integers are quantised")
        if q.axis is not None and value.type.shape is not None:
            if not 0 <= q.axis < len(value.type.shape):
                yield Fault(
                    repr(value), f"quantisation axis {q.axis} is outside its {len(value.type.shape)} dimensions"
                )
            elif isinstance(size := value.type.shape[q.axis], int) and size != len(q.scale):
                yield Fault(repr(value), f"{len(q.scale)} scales for {size} channels")
