"""A kernel call without its data: what a kernel is generated, cached and measured by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from nascompiler.ir.attributes import Attribute
from nascompiler.ir.graph import Node
from nascompiler.ir.types import TensorType


@dataclass(frozen=True)
class KernelCall:
    """An op of a target dialect with its attributes and types. Equal calls share one kernel."""

    op: str
    attributes: tuple[tuple[str, Attribute], ...]
    operands: tuple[TensorType, ...]
    results: tuple[TensorType, ...]

    @classmethod
    def of(cls, node: Node) -> KernelCall:
        """The call that a node makes."""
        types = tuple(v.type for v in node.operands)
        return cls(node.op.name, tuple(node.attributes.items()), types, tuple(v.type for v in node.results))

    @property
    def result(self) -> TensorType:
        """The type of the only result."""
        (result,) = self.results
        return result

    def __getitem__(self, attribute: str) -> Any:
        return dict(self.attributes)[attribute]

    @property
    def text(self) -> str:
        """The canonical spelling, the same wherever the call stands."""
        attributes = ", ".join(f"{name}={value!r}" for name, value in self.attributes)
        return f"{self.op}({', '.join(map(str, self.operands))}){{{attributes}}} -> {', '.join(map(str, self.results))}"

    def digest(self, *generator: str) -> str:
        """A hash of the call and of what generates its code (target fingerprint, versions)."""
        return hashlib.sha256("\n".join([self.text, *generator]).encode()).hexdigest()[:24]
