"""Text to graph, by recursive descent over the tokens of one regular expression."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from math import prod
from typing import TypeVar

import numpy as np

from nascompiler.ir.attributes import Attribute, SymbolRef
from nascompiler.ir.constant import Constant
from nascompiler.ir.errors import Error, ParseError
from nascompiler.ir.graph import Choice, Graph, Value
from nascompiler.ir.ops import OPS
from nascompiler.ir.text.syntax import NAME, UNKNOWN, VERSION, WORD
from nascompiler.ir.types import Array, Dim, DType, Quantization, TensorType

T = TypeVar("T")
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_TOKEN = re.compile(
    rf"""(?:[ \t\r\n]|\#[^\n]*)*+  # blanks and comments go with the token behind them; possessive, so linear
    (?:(?P<reference>[%@](?:{NAME}|{_STRING}))
    |(?P<hash>sha256:[0-9a-f]{{32}})
    |(?P<number>-?(?:inf|nan)(?![A-Za-z0-9_./-])|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![A-Za-z0-9_./]))
    |(?P<name>{WORD})
    |(?P<string>{_STRING})
    |(?P<mark>[()\[\]{{}}<>=:,?*-])
    |(?P<end>\Z)
    |(?P<bad>.))""",
    re.VERBOSE,
)
_DTYPES = {d.value: d for d in DType}
_ELEMENTS: dict[str, set[type]] = {"float": {float, int}, "integer": {int}, "boolean": {bool}}
_MAX_DEPTH = 64


def _kind(dtype: DType) -> str:
    return "float" if dtype.is_float else "integer" if dtype.is_integer else "boolean"


def parse(text: str, *, constants: Mapping[str, Array] | None = None, file: str = "<text>") -> Graph:
    """Read a graph from its text form.

    `constants` maps content hashes to arrays; without it larger constants become placeholders. Raises ParseError with
    file, line and column for text that is not valid, and for a version of the form that this one cannot read.
    """
    return _Parser(text, constants or {}, file).file_body()


class _Parser:
    def __init__(self, text: str, store: Mapping[str, Array], file: str) -> None:
        self.text, self.store, self.file = text, store, file
        self.types: dict[str, tuple[TensorType, int]] = {}
        self.kinds: list[str] = []
        self.tokens: list[str] = []
        self.starts: list[int] = []
        for match in _TOKEN.finditer(text):
            kind, index = match.lastgroup, match.lastindex
            assert kind is not None
            assert index is not None
            self.kinds.append(kind)
            self.tokens.append(match[index])
            self.starts.append(match.start(index))
            if kind == "bad":
                self.at = len(self.tokens) - 1
                raise self.error(f"unexpected character {match[index]!r}")
            if kind == "end":
                break
        self.at = 0

    # -- tokens

    def error(self, message: str, at: int | None = None) -> ParseError:
        start = self.starts[self.at if at is None else at]
        line = self.text.count("\n", 0, start) + 1
        return ParseError(message, file=self.file, line=line, column=start - self.text.rfind("\n", 0, start))

    def accept(self, token: str) -> bool:
        if self.tokens[self.at] == token and self.kinds[self.at] in ("mark", "name"):
            self.at += 1
            return True
        return False

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.error(f"expected {token!r}, found {self.tokens[self.at] or 'the end of the file'!r}")

    def take(self, kind: str, what: str) -> str:
        if self.kinds[self.at] != kind:
            raise self.error(f"expected {what}, found {self.tokens[self.at] or 'the end of the file'!r}")
        self.at += 1
        return self.tokens[self.at - 1]

    def name(self, what: str) -> str:
        if self.kinds[self.at] == "string":
            return self.unquote(self.take("string", what))
        return self.take("name", what)

    def reference(self, sigil: str, what: str) -> str:
        token = self.take("reference", what)
        if token[0] != sigil:
            self.at -= 1
            raise self.error(f"expected {what}, found {token!r}")
        return self.unquote(token[1:]) if token[1] == '"' else token[1:]

    def own_name(self) -> str:
        """The name that the reference just read gives to a value: none if the printer chose it, a bare number."""
        token = self.tokens[self.at - 1]
        return "" if token[1:].isdecimal() else self.unquote(token[1:]) if token[1] == '"' else token[1:]

    def unquote(self, token: str) -> str:
        try:
            return str(json.loads(token))
        except ValueError:
            raise self.error(f"invalid string {token}", self.at - 1) from None

    def integer(self, what: str) -> int:
        token = self.take("number", what)
        try:
            return int(token)
        except ValueError:
            raise self.error(f"expected {what}, found {token!r}", self.at - 1) from None

    # -- grammar

    def file_body(self) -> Graph:
        if not self.accept("nir"):
            raise self.error(f"this is not a file of ours: it must start with 'nir {VERSION}'")
        version = self.integer("the version of the format")
        if version != VERSION:
            raise self.error(
                f"format version {version} is not known; this release reads version {VERSION}", self.at - 1
            )
        self.expect("graph")
        graph = self.graph(0)
        if self.kinds[self.at] != "end":
            raise self.error("unexpected text after the graph")
        return graph

    def graph(self, depth: int) -> Graph:
        if depth > 1:
            raise self.error("a cell cannot contain cells")
        graph = Graph(self.reference("@", "a graph name"))
        scope: dict[str, Value] = {}
        self.expect("(")
        while not self.accept(")"):
            at = self.at
            name = self.reference("%", "an input such as %x")
            self.expect(":")
            if name in scope:
                raise self.error(f"%{name} is defined twice", at)
            scope[name] = graph.add_input(name, self.type())
            if not self.accept(","):
                self.expect(")")
                break
        if self.is_attribute_list():
            graph.attributes = self.attributes()
        self.expect("{")
        constants: dict[str, Value] = {}
        while not self.accept("return"):
            if self.kinds[self.at] == "reference":
                self.node(graph, scope, constants)
            elif self.accept("choice"):
                self.choice(graph)
            elif self.accept("cell"):
                at = self.at
                cell = self.graph(depth + 1)
                if cell.name in graph.cells:
                    raise self.error(f"cell @{cell.name} is defined twice", at)
                graph.cells[cell.name] = cell
            elif self.accept("constant"):
                self.constant(constants)
            else:
                self.node(graph, scope, constants)
        outputs: dict[str, Value] = {}
        while not self.accept("}"):
            at = self.at
            name = self.name("an output such as y=%0")
            self.expect("=")
            if name in outputs:
                raise self.error(f"two outputs named {name!r}", at)
            outputs[name] = self.operand(scope, constants)
            if not self.accept(","):
                self.expect("}")
                break
        graph.set_outputs(outputs)
        return graph

    def is_attribute_list(self) -> bool:
        """Whether the brace here opens `{name=...}` and not a body: a body has no `=` after its first word."""
        return (
            self.tokens[self.at] == "{"
            and self.kinds[self.at + 1] in ("name", "string")
            and self.tokens[self.at + 2] == "="
        )

    def choice(self, graph: Graph) -> None:
        at = self.at
        name = self.reference("@", "the name of a choice")
        if name in graph.choices:
            raise self.error(f"choice @{name} is defined twice", at)
        self.expect("=")
        options = self.tuple_value()
        condition = None
        if self.accept("if"):
            other = self.reference("@", "the name of a choice")
            self.expect("in")
            condition = (other, self.tuple_value())
        graph.choices[name] = self.guarded(at, lambda: Choice(name, options, condition))

    def constant(self, constants: dict[str, Value]) -> None:
        at = self.at
        name = self.reference("@", "the name of a constant")
        own_name = self.own_name()
        if name in constants:
            raise self.error(f"constant @{name} is defined twice", at)
        self.expect(":")
        type = self.type()
        self.expect("=")
        if not type.is_static:
            raise self.error(f"constant @{name} has the open type {type}", at)
        if self.kinds[self.at] == "hash":
            digest = self.take("hash", "a hash")[len("sha256:") :]
            array = self.store.get(digest)
            constant = (
                Constant(type, digest=digest) if array is None else self.guarded(at, lambda: Constant.of(array, type))
            )
        else:
            items = self.tuple_value()
            if len(items) != prod(type.static_shape):
                raise self.error(f"constant @{name} of type {type} lists {len(items)} values", at)
            if not _ELEMENTS[_kind(type.dtype)].issuperset({item.__class__ for item in items}):
                raise self.error(f"constant @{name} of type {type} lists values that are no {_kind(type.dtype)}s", at)
            try:
                values = np.array(items, dtype=type.dtype.numpy).reshape(type.static_shape)
            except (ValueError, TypeError, OverflowError) as error:
                raise self.error(f"constant @{name} of type {type}: {error}", at) from None
            constant = Constant.of(values, type)
        constants[name] = Value(type, own_name, constant=constant)

    def node(self, graph: Graph, scope: dict[str, Value], constants: dict[str, Value]) -> None:
        at = self.at
        names = []
        own_names = []
        while True:
            names.append(self.reference("%", "a statement such as '%y = nn.relu(%x) : f32[1]' or 'return'"))
            own_names.append(self.own_name())
            if not self.accept(","):
                break
        self.expect("=")
        op_at = self.at
        op = self.guarded(op_at, lambda: OPS.find(self.take("name", "the name of an op")))
        operands = []
        self.expect("(")
        while not self.accept(")"):
            operands.append(self.operand(scope, constants))
            if not self.accept(","):
                self.expect(")")
                break
        attributes = self.attributes() if self.tokens[self.at] == "{" else {}
        types = self.result_types(len(names))
        origin = ""
        if self.accept("from"):
            origin = self.name("an origin")
        if len(types) != len(names):
            raise self.error(f"{len(names)} results but {len(types)} types", at)
        node = self.guarded(
            op_at, lambda: graph.insert(op, operands, attributes, types=types, names=own_names, origin=origin)
        )
        for name, value in zip(names, node.results, strict=True):
            if name in scope:
                raise self.error(f"%{name} is defined twice", at)
            scope[name] = value

    def result_types(self, results: int) -> list[TensorType]:
        """The types after a colon; without one, nothing is known of the results yet."""
        if not self.accept(":"):
            return [UNKNOWN] * results
        types = [self.type()]
        while self.accept(","):
            types.append(self.type())
        return types

    def operand(self, scope: dict[str, Value], constants: dict[str, Value]) -> Value:
        token = self.take("reference", "an operand such as %x or @w")
        name = self.unquote(token[1:]) if token[1] == '"' else token[1:]
        value = (scope if token[0] == "%" else constants).get(name)
        if value is None:
            raise self.error(f"{token} is used before it is defined", self.at - 1)
        return value

    def attributes(self) -> dict[str, Attribute]:
        result: dict[str, Attribute] = {}
        self.expect("{")
        while not self.accept("}"):
            at = self.at
            name = self.name("the name of an attribute")
            if name in result:
                raise self.error(f"attribute {name} is given twice", at)
            self.expect("=")
            result[name] = self.attribute()
            if not self.accept(","):
                self.expect("}")
                break
        return result

    def attribute(self, depth: int = 0) -> Attribute:
        if depth > _MAX_DEPTH:
            raise self.error(f"lists nested deeper than {_MAX_DEPTH}")
        kind, token = self.kinds[self.at], self.tokens[self.at]
        self.at += 1
        if kind == "number":
            return self.number(token)
        if kind == "name":
            if token in ("true", "false"):
                return token == "true"
            return _DTYPES.get(token, token)
        if kind == "string":
            return self.unquote(token)
        if kind == "reference" and token[0] == "@":
            return SymbolRef(self.unquote(token[1:]) if token[1] == '"' else token[1:])
        if token == "[":
            items: list[Attribute] = []
            while not self.accept("]"):
                items.append(self.attribute(depth + 1))
                if not self.accept(","):
                    self.expect("]")
                    break
            return tuple(items)
        self.at -= 1
        raise self.error(f"expected a value, found {token or 'the end of the file'!r}")

    def number(self, token: str) -> int | float:
        if token.lstrip("-").isdigit():
            if len(token) > 40:
                raise self.error("an integer of more than 40 digits", self.at - 1)
            return int(token)
        return float(token)

    def tuple_value(self) -> tuple[Attribute, ...]:
        value = self.attribute()
        if not isinstance(value, tuple):
            raise self.error("expected a list such as [3, 5]", self.at - 1)
        return value

    def type(self) -> TensorType:
        """A type. The same ones come again and again, so those of the same text are read once."""
        at, start = self.at, self.starts[self.at]
        text = self.text[start : self.text.find("]", start) + 1]
        known = self.types.get(text)
        if known is not None:
            type, self.at = known[0], at + known[1]
            if self.tokens[self.at] != "<":
                return type
            self.at = at
        type = self.new_type()
        if self.starts[self.at - 1] == start + len(text) - 1 and '"' not in text:
            self.types[text] = (type, self.at - at)
        return type

    def new_type(self) -> TensorType:
        at = self.at
        word = self.take("name", "a type such as f32[1,224,224,3]")
        dtype = _DTYPES.get(word)
        if dtype is None:
            raise self.error(f"unknown element type {word!r}; accepted: {', '.join(_DTYPES)}", at)
        self.expect("[")
        shape: tuple[Dim, ...] | None
        if self.accept("*"):
            shape = None
            self.expect("]")
        else:
            dims: list[Dim] = []
            while not self.accept("]"):
                dims.append(self.dim())
                if not self.accept(","):
                    self.expect("]")
                    break
            shape = tuple(dims)
        quantization = self.quantization() if self.tokens[self.at] == "<" else None
        return self.guarded(at, lambda: TensorType(shape, dtype, quantization))

    def dim(self) -> Dim:
        if self.accept("?"):
            return None
        if self.kinds[self.at] == "number":
            return self.integer("a dimension")
        return self.name("a dimension")

    def quantization(self) -> Quantization:
        at = self.at
        self.expect("<")
        fields: dict[str, Attribute] = {}
        while not self.accept(">"):
            name = self.name("axis, scale or zero_point")
            self.expect("=")
            fields[name] = self.attribute()
            if not self.accept(","):
                self.expect(">")
                break
        axis, scale, zero = fields.pop("axis", None), fields.pop("scale", None), fields.pop("zero_point", 0)
        scales = scale if isinstance(scale, tuple) else (scale,)
        zeros = zero if isinstance(zero, tuple) else (zero,)
        if fields or not (axis is None or type(axis) is int) or not all(type(z) is int for z in zeros):
            raise self.error("a quantisation is <scale=S, zero_point=Z> or <axis=A, scale=[...], zero_point=[...]>", at)
        try:
            return Quantization(tuple(map(float, scales)), tuple(map(int, zeros)), axis)  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            raise self.error(str(error), at) from None

    def guarded(self, at: int, make: Callable[[], T]) -> T:
        """`make()`, with errors of the IR placed at token `at`."""
        try:
            return make()
        except ParseError:
            raise
        except (Error, ValueError) as error:
            raise self.error(str(error), at) from None
