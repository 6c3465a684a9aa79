"""Graph to text, and the canonical text behind structural equality and the graph hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from nascompiler.ir.attributes import Attribute
from nascompiler.ir.constant import Constant
from nascompiler.ir.graph import Choice, Graph, Node, Value
from nascompiler.ir.text.syntax import (
    INLINE_ELEMENTS,
    UNKNOWN,
    VERSION,
    format_attribute,
    format_float,
    format_name,
    format_type,
    format_word,
)


def print_graph(graph: Graph) -> str:
    """The graph as text, with names and origins; larger constants as their hash (see `ir.files` for their values)."""
    return "\n".join([f"nir {VERSION}", *_Printer(graph, canonical=False).lines("graph")]) + "\n"


def canonical_text(graph: Graph) -> str:
    """Text that is equal exactly for structurally equal graphs.

    What a user can tell apart counts (names of inputs, outputs, cells and choices); names of inner values, origins and
    graph attributes do not.
    """
    return "\n".join(_Printer(graph, canonical=True).lines("graph")) + "\n"


def fingerprint(graph: Graph) -> str:
    """SHA-256 of the canonical text, in hexadecimal: the identity of a graph across processes."""
    return hashlib.sha256(canonical_text(graph).encode()).hexdigest()


def structurally_equal(a: Graph, b: Graph) -> bool:
    """Whether two graphs have the same structure, types, attributes and constants; see `canonical_text`."""
    return canonical_text(a) == canonical_text(b)


class _Printer:
    def __init__(self, graph: Graph, *, canonical: bool, indent: str = "") -> None:
        self.graph, self.canonical, self.indent = graph, canonical, indent
        self.constants = graph.constants
        self.names = self._assign_names()

    def _assign_names(self) -> Mapping[Value, str]:
        """A unique name for every value: its own where free, else with a suffix; numbers for the nameless."""
        names: dict[Value, str] = {}
        inner = [*self.constants, *(v for node in self.graph.nodes for v in node.results)]
        taken = {v.name for v in self.graph.inputs}
        names.update({v: v.name for v in self.graph.inputs})
        if not self.canonical:
            serials: dict[str, int] = {}  # of twins, each counted on from the last: linear however many there are
            for value in inner:
                name = value.name
                if not name:
                    continue
                while name in taken:
                    serials[value.name] = serial = serials.get(value.name, 0) + 1
                    name = f"{value.name}_{serial}"
                taken.add(name)
                names[value] = name
        number = 0
        for value in inner:
            if value in names:
                continue
            while str(number) in taken:
                number += 1
            names[value] = str(number)
            number += 1
        return names

    def lines(self, keyword: str) -> Iterator[str]:
        pad, inner = self.indent, self.indent + "  "
        graph = self.graph
        inputs = ", ".join(f"{self.ref(v)}: {format_type(v.type)}" for v in graph.inputs)
        name = "_" if self.canonical and keyword == "graph" else format_name(graph.name)
        attributes = "" if self.canonical or not graph.attributes else f" {format_attributes(graph.attributes)}"
        yield f"{pad}{keyword} @{name}({inputs}){attributes} {{"
        for choice in graph.choices.values():
            yield inner + format_choice(choice)
        for cell in graph.cells.values():
            yield from _Printer(cell, canonical=self.canonical, indent=inner).lines("cell")
        for value in self.constants:
            assert value.constant is not None
            yield f"{inner}constant {self.ref(value)} : {format_type(value.type)} = {format_constant(value.constant)}"
        for node in graph.nodes:
            yield inner + self.node(node)
        outputs = ", ".join(
            f"{format_word(n)}={self.ref(v)}" for n, v in zip(graph.output_names, graph.outputs, strict=True)
        )
        yield f"{inner}return {outputs}".rstrip()
        yield f"{pad}}}"

    def node(self, node: Node) -> str:
        results = ", ".join(map(self.ref, node.results))
        operands = ", ".join(map(self.ref, node.operands))
        changed = {
            name: value
            for name, value in node.attributes.items()
            if (declared := node.op.attribute(name)) is None
            or type(declared.default) is not type(value)
            or repr(declared.default) != repr(value)
        }
        attributes = f" {format_attributes(changed)}" if changed else ""
        known = any(v.type != UNKNOWN for v in node.results)
        types = f" : {', '.join(format_type(v.type) for v in node.results)}" if known else ""
        origin = "" if self.canonical or not node.origin else f" from {format_attribute(node.origin)}"
        return f"{results} = {node.op.name}({operands}){attributes}{types}{origin}"

    def ref(self, value: Value) -> str:
        name, sigil = self.names[value], "@" if value.is_constant else "%"
        if value.name == name and name.isdecimal() and not self.canonical:
            return f"{sigil}{json.dumps(name)}"  # bare numbers are for the nameless
        return sigil + format_name(name)


def format_attributes(attributes: Mapping[str, Attribute]) -> str:
    return "{" + ", ".join(f"{format_word(k)}={format_attribute(v)}" for k, v in attributes.items()) + "}"


def format_choice(choice: Choice) -> str:
    text = f"choice @{format_name(choice.name)} = {format_attribute(choice.options)}"
    if choice.condition is not None:
        other, options = choice.condition
        text += f" if @{format_name(other)} in {format_attribute(options)}"
    return text


def format_constant(constant: Constant) -> str:
    """The values of a small constant, the hash of a larger one."""
    if constant.is_placeholder or constant.array.size > INLINE_ELEMENTS:
        return f"sha256:{constant.digest}"
    items = constant.array.reshape(-1).tolist()
    if constant.type.dtype.is_float:
        return "[" + ", ".join(map(format_float, items)) + "]"
    return format_attribute(tuple(items))
