"""An op is one declarative record: operands, attributes, inference, evaluation, cost and traits.

Adding an op is one `register_op(OpDef(...))` and one test. Functions of a record take the operands positionally (an
absent optional operand as None, variadic ones as `*args`) and the attributes by keyword:

    infer(x: TensorType, ..., *, strides, ...) -> TensorType or a tuple of them; raises InferenceError
    evaluate(x: Array, ..., *, strides, ...) -> Array or a tuple of them
    macs(result: TensorType, x: TensorType, ..., *, strides, ...) -> int
    decompose(builder: Builder, x: Value, ..., *, ...) -> Value or a tuple of them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from nascompiler.ir.attributes import Attribute, AttributeDef, SymbolRef, normalize, symbols_in
from nascompiler.ir.errors import ModelError, UsageError, choices_text, unknown
from nascompiler.ir.types import Array, DType, TensorType


class InferenceError(ModelError):
    """Operand types and attributes of a node that do not go together."""


class Trait(Enum):
    """What passes may assume about an op without knowing it."""

    ELEMENTWISE = "each result element depends on the operand elements at the same (broadcast) index"
    COMMUTATIVE = "the two operands may be swapped"
    IDENTITY = "the result equals the first operand at inference"
    DYNAMIC = "takes as operands what its static form has as attributes; see OpDef.static_form"
    STRUCTURAL = "moves or selects elements without computing on them"


@dataclass(frozen=True)
class Operand:
    """A declared operand.

    `dtypes` are the element types accepted (None: any), `rank` the rank required (None: any). A `parameter` counts as
    a weight of the network when a constant stands there. Only the last operands may be `optional` or `variadic`.
    """

    name: str
    dtypes: frozenset[DType] | None = None
    rank: int | None = None
    optional: bool = False
    variadic: bool = False
    parameter: bool = False


@dataclass(frozen=True, kw_only=True)
class OpDef:
    """The record of one op."""

    name: str
    summary: str
    operands: tuple[Operand, ...]
    infer: Callable[..., TensorType | tuple[TensorType, ...]]
    attributes: tuple[AttributeDef, ...] = ()
    evaluate: Callable[..., Any] | None = None
    decompose: Callable[..., Any] | None = None
    macs: Callable[..., int] | None = None
    traits: frozenset[Trait] = frozenset()
    results: int | Callable[[Mapping[str, Attribute]], int] = 1
    result_dtype: DType | int | str = 0
    """Element type of the results while shapes are unknown: a type, the index of an operand, or an attribute's name."""
    infer_uses_constants: bool = False
    """Inference also gets `constants`, a tuple with the array of each operand that is a known constant, else None."""
    static_form: tuple[str, Mapping[str, str]] | None = None
    """Of a DYNAMIC op: the static op, and which operand (by name) becomes which attribute once it is constant."""
    to_static: Callable[..., Mapping[str, Any] | None] | None = None
    """Where renaming does not give the static attributes: `to_static(x: TensorType, *constants, *, ...)` does."""
    channels: Callable[..., None] | None = None
    """How channels flow through the op: a rule for `ir.channels`. None: the built-in rule, else opaque."""
    _by_name: dict[str, AttributeDef] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({a.name: a for a in self.attributes})
        if self.evaluate is None and self.decompose is None and self.dialect != "arch":
            raise ValueError(f"{self.name}: an op needs a reference evaluation or a decomposition")

    @cached_property
    def dialect(self) -> str:
        return self.name.partition(".")[0]

    @cached_property
    def required_operands(self) -> int:
        """How many operands a node must have at least."""
        return sum(not (o.optional or o.variadic) for o in self.operands)

    @property
    def is_composite(self) -> bool:
        return self.decompose is not None

    def has(self, trait: Trait) -> bool:
        return trait in self.traits

    def attribute(self, name: str) -> AttributeDef | None:
        return self._by_name.get(name)

    def result_count(self, attributes: Mapping[str, Attribute]) -> int:
        return self.results if isinstance(self.results, int) else self.results(attributes)

    def operand_at(self, index: int) -> Operand | None:
        """The declaration of the operand at `index`, or None when there are too many."""
        if index < len(self.operands):
            return self.operands[index]
        return self.operands[-1] if self.operands and self.operands[-1].variadic else None

    def complete_attributes(self, given: Mapping[str, Any]) -> dict[str, Attribute]:
        """`given` normalised and with defaults, in declared order; raises ModelError listing every fault."""
        wrong = [
            f"unknown attribute {name!r} (accepted: {choices_text(self._by_name)})"
            for name in given
            if name not in self._by_name
        ]
        complete: dict[str, Attribute] = {}
        for declared in self.attributes:
            if declared.name not in given:
                if declared.is_required:
                    wrong.append(f"attribute {declared.name!r} is missing: {declared.kind.description}")
                else:
                    complete[declared.name] = declared.default
                continue
            try:
                value = normalize(given[declared.name])
            except TypeError as error:
                wrong.append(f"attribute {declared.name!r}: {error}")
                continue
            if declared.kind.description == "a number" and type(value) is int:
                value = float(value)
            is_open = bool(symbols_in(value))
            if not is_open and not declared.kind.accepts(value):
                wrong.append(f"attribute {declared.name!r} is {value!r}; accepted: {declared.kind.description}")
            complete[declared.name] = value
        if wrong:
            raise ModelError(f"{self.name}: " + "; ".join(wrong))
        return complete

    def is_open(self, attributes: Mapping[str, Attribute]) -> bool:
        """Whether an attribute that is no cell reference still waits for a choice."""
        for name, value in attributes.items():
            if symbols_in(value) and not (isinstance(value, SymbolRef) and self._by_name[name].kind.accepts(value)):
                return True
        return False

    def static_attributes(
        self,
        operands: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        attributes: Mapping[str, Attribute],
    ) -> dict[str, Attribute] | None:
        """Of a DYNAMIC op: the attributes of its static form, whose only operand is the first one.

        `constants` are the arrays of the operands, None where not known. The result is None while an operand that is
        present is not known, or the type of the first operand does not yet determine the attributes.
        """
        assert self.static_form is not None
        if any(t is not None and c is None for t, c in zip(operands[1:], constants[1:], strict=True)):
            return None
        static, renamed = self.static_form
        if self.to_static is not None:
            found = self.to_static(operands[0], *constants[1:], **attributes)
        else:
            names = (o.name for o in self.operands[1:])
            given = {renamed[n]: c.tolist() for n, c in zip(names, constants[1:], strict=True) if c is not None}
            found = {**attributes, **given}
        return None if found is None else OPS[static].complete_attributes(found)

    def padded(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        """Operands with None for the optional ones that are absent."""
        missing = len(self.operands) - len(operands)
        return operands + (None,) * missing if missing > 0 and not self.operands[-1].variadic else operands


_FLOATS = frozenset({DType.F16, DType.F32, DType.F64})
_INTEGERS = frozenset(d for d in DType if d.is_integer)


def floats(name: str, **options: Any) -> Operand:
    """An operand of any floating-point type."""
    return Operand(name, _FLOATS, **options)


def numbers(name: str, **options: Any) -> Operand:
    """An operand of any numeric type."""
    return Operand(name, _FLOATS | _INTEGERS, **options)


def indices(name: str, **options: Any) -> Operand:
    """An operand of integers that are indices or sizes."""
    return Operand(name, frozenset({DType.I32, DType.I64}), **options)


class OpRegistry(Mapping[str, OpDef]):
    """Every op by its full name.

    The built-in dialects are loaded at the first look-up, those of installed packages (entry point group
    `nascompiler.ops`) when a name is not found among them.
    """

    BUILT_IN = ("nascompiler.ir.dialects.nn", "nascompiler.ir.dialects.qnn", "nascompiler.ir.dialects.arch")
    ENTRY_POINTS = "nascompiler.ops"

    def __init__(self) -> None:
        self._ops: dict[str, OpDef] = {}
        self._loaded = False
        self._plugins_loaded = False

    def register(self, op: OpDef) -> OpDef:
        """Add an op; raises UsageError when its name is taken."""
        if op.name in self._ops:
            raise UsageError(f"an op named {op.name!r} is registered already")
        self._ops[op.name] = op
        return op

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            for module in self.BUILT_IN:
                import_module(module)

    def load_plugins(self) -> None:
        """Import the ops of installed packages, once; raises UsageError when one of them fails."""
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        for point in sorted(entry_points(group=self.ENTRY_POINTS), key=lambda p: p.name):
            try:
                point.load()
            except UsageError:
                raise
            except Exception as error:
                raise UsageError(f"the plugin {point.name!r} ({point.value}) cannot be loaded: {error}") from error

    def __getitem__(self, name: str) -> OpDef:
        self._load()
        if name not in self._ops:
            self.load_plugins()
        return self._ops[name]

    def find(self, name: str) -> OpDef:
        """The op of that name; raises UsageError with the nearest names otherwise."""
        try:
            return self[name]
        except KeyError:
            pass
        dialect = name.partition(".")[0]
        names = [n for n in self._ops if n.partition(".")[0] == dialect]
        if not names:
            dialects = {n.partition(".")[0] for n in self._ops}
            raise unknown("dialect", dialect, dialects)
        raise unknown("op", name, names)

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._ops)

    def __len__(self) -> int:
        self._load()
        return len(self._ops)


OPS = OpRegistry()
register_op = OPS.register
