"""The table of converters: one function for each ONNX operator and range of opsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nascompiler.ir.graph import Value
from nascompiler.onnx.conversion import Conversion
from nascompiler.onnx.model_file import NEWEST_OPSET, OLDEST_OPSET

Results = Value | tuple[Value, ...]
Function = Callable[[Conversion], Results]


@dataclass(frozen=True)
class Converter:
    """Converts `operator` in opsets `since` to `until`; `only` restricts attributes to the values listed."""

    operator: str
    since: int
    until: int
    function: Function
    only: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def refused_attributes(self, attributes: Mapping[str, Any]) -> list[str]:
        """Why the attributes of a node, defaults included, are not supported."""
        return [
            f"{name}={attributes[name]!r} is not supported (accepted: {', '.join(map(repr, accepted))})"
            for name, accepted in self.only.items()
            if name in attributes and attributes[name] not in accepted
        ]


class Family:
    """The converters of one file."""

    def __init__(self) -> None:
        self.converters: list[Converter] = []

    def op(
        self, *operators: str, since: int = OLDEST_OPSET, until: int = NEWEST_OPSET, **only: tuple[Any, ...]
    ) -> Callable[[Function], Function]:
        """Declare the converter of these operators; keywords restrict attributes: `mode=("constant", "edge")`."""

        def declare(function: Function) -> Function:
            self.add(function, *operators, since=since, until=until, **only)
            return function

        return declare

    def add(
        self, function: Function, *operators: str, since: int = OLDEST_OPSET, until: int = NEWEST_OPSET, **only: Any
    ) -> None:
        self.converters += [Converter(name, since, until, function, only) for name in operators]


class Table:
    """Looks a converter up by operator and opset."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._by_operator: dict[str, list[Converter]] = {}
        for family in families:
            for converter in family.converters:
                others = self._by_operator.setdefault(converter.operator, [])
                if any(o.since <= converter.until and converter.since <= o.until for o in others):
                    raise ValueError(f"two converters for {converter.operator} in the same opset")
                others.append(converter)

    def find(self, operator: str, opset: int) -> Converter | None:
        for converter in self._by_operator.get(operator, ()):
            if converter.since <= opset <= converter.until:
                return converter
        return None

    @property
    def operators(self) -> list[str]:
        return sorted(self._by_operator)
