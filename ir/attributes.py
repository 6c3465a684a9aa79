"""The closed set of values an attribute may hold, and the kinds by which an op declares its attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from nascompiler.ir.errors import choices_text
from nascompiler.ir.types import DType


@dataclass(frozen=True)
class SymbolRef:
    """A reference to a choice or a cell of the graph, printed `@name`."""

    name: str

    def __str__(self) -> str:
        return f"@{self.name}"


Attribute = bool | int | float | str | DType | SymbolRef | tuple["Attribute", ...]
"""Everything an attribute may hold: printable, hashable, and compared by value."""


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()
"""Default of an attribute that must be given."""


@dataclass(frozen=True)
class Kind:
    """What values an attribute accepts: a test, and the words that say it in an error."""

    description: str
    accepts: Callable[[Any], bool]


@dataclass(frozen=True)
class AttributeDef:
    """A declared attribute of an op."""

    name: str
    kind: Kind
    default: Any = REQUIRED

    @property
    def is_required(self) -> bool:
        return self.default is REQUIRED


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def integer(name: str, default: Any = REQUIRED, *, minimum: int | None = None) -> AttributeDef:
    """An integer attribute, at least `minimum` when that is given."""
    words = "an integer" if minimum is None else f"an integer >= {minimum}"
    return AttributeDef(name, Kind(words, lambda v: _is_int(v) and (minimum is None or v >= minimum)), default)


def integers(
    name: str, default: Any = REQUIRED, *, length: int | None = None, minimum: int | None = None
) -> AttributeDef:
    """A tuple of integers, of the given `length` and each at least `minimum` when those are given."""
    count = "" if length is None else f"{length} "
    words = f"a list of {count}integers" + ("" if minimum is None else f" >= {minimum}")

    def accepts(value: Any) -> bool:
        return (
            isinstance(value, tuple)
            and (length is None or len(value) == length)
            and all(_is_int(v) and (minimum is None or v >= minimum) for v in value)
        )

    return AttributeDef(name, Kind(words, accepts), default)


def number(name: str, default: Any = REQUIRED) -> AttributeDef:
    """A float attribute; an integer is converted."""
    return AttributeDef(name, Kind("a number", lambda v: isinstance(v, float)), default)


def boolean(name: str, default: Any = REQUIRED) -> AttributeDef:
    return AttributeDef(name, Kind("true or false", lambda v: isinstance(v, bool)), default)


def string(name: str, default: Any = REQUIRED, *, among: Iterable[str] | None = None) -> AttributeDef:
    """A string attribute, one of `among` when that is given."""
    options = None if among is None else tuple(among)
    words = "a string" if options is None else choices_text(options)
    return AttributeDef(name, Kind(words, lambda v: isinstance(v, str) and (options is None or v in options)), default)


def dtype(name: str, default: Any = REQUIRED) -> AttributeDef:
    return AttributeDef(name, Kind(f"an element type ({choices_text(DType)})", lambda v: isinstance(v, DType)), default)


def symbol(name: str) -> AttributeDef:
    """A reference to a cell of the graph."""
    return AttributeDef(name, Kind("a reference such as @normal", lambda v: isinstance(v, SymbolRef)))


def normalize(value: Any) -> Attribute:
    """`value` in the closed attribute set (lists become tuples); raises TypeError if it has none."""
    if type(value) in _PLAIN or isinstance(value, (bool, str, DType, SymbolRef)):
        return value  # type: ignore[no-any-return]
    if isinstance(value, (int, float)):
        return value if type(value) in (int, float) else (int(value) if isinstance(value, int) else float(value))
    if isinstance(value, (list, tuple)):
        return tuple(normalize(item) for item in value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return normalize(value.item())
    raise TypeError(
        f"{type(value).__name__} is not an attribute; "
        "accepted: bool, int, float, str, DType, SymbolRef and lists of them"
    )


_PLAIN = frozenset({bool, int, float, str, DType})
"""Types of attributes that stand for themselves."""


def symbols_in(value: Attribute) -> tuple[SymbolRef, ...]:
    """Every symbol reference inside an attribute value."""
    if type(value) in _PLAIN:
        return ()
    if isinstance(value, tuple):
        return _symbols_of(value)
    return (value,) if isinstance(value, SymbolRef) else ()


@lru_cache(4096)
def _symbols_of(values: tuple[Attribute, ...]) -> tuple[SymbolRef, ...]:
    return tuple(symbol for item in values for symbol in symbols_in(item))
