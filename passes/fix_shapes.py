"""Gives inputs their shapes and symbolic dimensions their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nascompiler.ir import Error, Graph, UsageError, Value
from nascompiler.ir.errors import choices_text, unknown
from nascompiler.ir.graph import refine_types
from nascompiler.ir.types import Dim, join_types
from nascompiler.passes.infrastructure.base import Pass, PassContext
from nascompiler.passes.infrastructure.registry import register_pass


@register_pass
@dataclass(frozen=True)
class FixShapes(Pass):
    """Sets the shapes of inputs (`x=1x3x48x192,y=?x2`, `?` leaves a dimension open) and symbolic sizes (`N=1,H=48`).

    Symbols are replaced everywhere and types inferred again. Shapes that are computed in the graph become known only
    when their computation is folded, so this promises no static graph: follow it with
    `fixpoint(canonicalize,fold-constants,eliminate-dead-code)`.

    Raises UsageError for an unknown input or symbol, and for a shape that contradicts a declaration or the network.
    """

    shapes: str = ""
    sizes: str = ""

    def __post_init__(self) -> None:
        parse_shapes(self.shapes)
        parse_sizes(self.sizes)

    @classmethod
    def of(
        cls, shapes: Mapping[str, Sequence[int | None]] | None = None, sizes: Mapping[str, int] | None = None
    ) -> FixShapes:
        """The pass for shapes by input name and sizes by symbol; None leaves a dimension open."""
        written = ("x".join("?" if d is None else str(d) for d in shape) for shape in (shapes or {}).values())
        return cls(
            ",".join(f"{name}={text}" for name, text in zip(shapes or {}, written, strict=True)),
            ",".join(f"{name}={size}" for name, size in (sizes or {}).items()),
        )

    may_ensure = frozenset({"static-shapes"})

    def run(self, graph: Graph, context: PassContext) -> None:
        shapes, sizes = parse_shapes(self.shapes), parse_sizes(self.sizes)
        _refuse_unknown(graph, shapes, sizes)
        sizes = _with_sizes_of_shapes(graph, shapes, sizes)
        for value in _values(graph):
            if value.type.substitute(sizes) != value.type:
                graph.set_type(value, value.type.substitute(sizes))
        faults = []
        for name, shape in shapes.items():
            value = graph.input(name)
            joined = join_types(value.type, value.type.with_shape(shape))
            if joined is None:
                faults.append(f"input {name!r} is {value.type}; the shape {_text(shape)} does not fit it")
            elif joined != value.type:
                graph.set_type(value, joined)
        if faults:
            raise UsageError("; ".join(faults))
        try:
            for body in graph.bodies:
                refine_types(body)
        except Error as error:
            raise UsageError(f"the network does not fit {self.shapes or self.sizes}: {error}") from None


def parse_shapes(text: str) -> dict[str, tuple[int | None, ...]]:
    """`x=1x3x48x192,y=?x2` -> {"x": (1, 3, 48, 192), "y": (None, 2)}; `s=` is a scalar. Raises UsageError."""
    return {
        name: tuple(None if d == "?" else _size(d, f"{name}={value}") for d in value.split("x")) if value else ()
        for name, value in _pairs(text, "NAME=1x3x48x192")
    }


def parse_sizes(text: str) -> dict[str, int]:
    """`N=1,H=48` -> {"N": 1, "H": 48}. Raises UsageError."""
    return {name: _size(value, f"{name}={value}") for name, value in _pairs(text, "NAME=48")}


def _pairs(text: str, example: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for part in text.split(",") if text.strip() else []:
        name, equals, value = (field.strip() for field in part.rpartition("="))
        if not equals or not name:
            raise UsageError(f"cannot read {part.strip()!r}; accepted: {example}, several separated by commas")
        if name in dict(pairs):
            raise UsageError(f"{name!r} is given twice")
        pairs.append((name, value))
    return pairs


def _size(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise UsageError(f"cannot read the size {text!r} in {where!r}; accepted: whole numbers from 0 on")
    return int(text)


def _values(graph: Graph) -> Iterable[Value]:
    for body in graph.bodies:
        yield from body.inputs
        for node in body.nodes:
            yield from node.results


def _refuse_unknown(graph: Graph, shapes: Mapping[str, object], sizes: Mapping[str, int]) -> None:
    inputs = [value.name for value in graph.inputs]
    for name in shapes:
        if name not in inputs:
            raise unknown("input", name, inputs)
    symbols = {d for value in _values(graph) for d in value.type.shape or () if isinstance(d, str)}
    for name in sizes:
        if name not in symbols:
            raise unknown("symbolic size", name, symbols)


def _with_sizes_of_shapes(
    graph: Graph, shapes: Mapping[str, tuple[int | None, ...]], sizes: Mapping[str, int]
) -> dict[str, int]:
    """`sizes`, and those that follow from the shapes of inputs that declare symbols."""
    found = {name: {size} for name, size in sizes.items()}
    for name, shape in shapes.items():
        for dim, size in zip(graph.input(name).type.shape or (), shape, strict=False):
            if isinstance(dim, str) and size is not None:
                found.setdefault(dim, set()).add(size)
    faults = [
        f"the size {name} cannot be {choices_text(sorted(values)).replace(' or ', ' and ')} at once"
        for name, values in found.items()
        if len(values) > 1
    ]
    if faults:
        declared = ", ".join(f"{name!r} is declared {graph.input(name).type}" for name in shapes)
        raise UsageError("; ".join(faults) + (f"; {declared}" if declared else ""))
    return {name: next(iter(values)) for name, values in found.items()}


def _text(shape: Iterable[Dim]) -> str:
    return "x".join("?" if d is None else str(d) for d in shape) or "()"
