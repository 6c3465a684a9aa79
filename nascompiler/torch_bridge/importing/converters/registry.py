"""The table of converters: one function for each ATen operator, whatever its overload."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nascompiler.ir.graph import Value
from nascompiler.torch_bridge.importing.conversion import Conversion

Results = Value | tuple[Value | None, ...]
Function = Callable[[Conversion], Results]


class Family:
    """The converters of one file, by operator without namespace and overload: `conv2d`."""

    def __init__(self) -> None:
        self.converters: dict[str, Function] = {}

    def op(self, *operators: str) -> Callable[[Function], Function]:
        """Declare the converter of these operators."""

        def declare(function: Function) -> Function:
            self.add(function, *operators)
            return function

        return declare

    def add(self, function: Function, *operators: str) -> None:
        self.converters.update(dict.fromkeys(operators, function))


def joined(families: Iterable[Family]) -> dict[str, Function]:
    """All converters; raises ValueError when an operator has two."""
    table: dict[str, Function] = {}
    for family in families:
        for operator, function in family.converters.items():
            if table.setdefault(operator, function) is not function:
                raise ValueError(f"two converters for {operator}")
    return table


def operator_name(target: Any) -> str | None:
    """`conv2d` for the overload aten.conv2d.default; None for what is no ATen operator."""
    namespace, _, name = str(getattr(target, "name", lambda: "")()).partition("::")
    return name.partition(".")[0] if namespace == "aten" else None


def converted_name(target: Any) -> str | None:
    """The name by which converters know an operator: that of the function where it works in place, `relu_`."""
    name = operator_name(target)
    return name if name is None or name.startswith("__") else name.rstrip("_")
