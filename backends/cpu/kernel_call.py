"""A kernel call without its data: what a kernel is generated, cached and measured by."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from nascompiler.ir.attributes import Attribute
from nascompiler.ir.graph import Node
from nascompiler.ir.types import TensorType

_QUANTIZATION = re.compile(r"(^|(?<!weight)_)(scales?|zero_points?)$")
"""Attributes that calibration decides. Whether weights have a zero point decides which kernels there are."""


@dataclass(frozen=True)
class KernelCall:
    """An op of a target dialect with its attributes and types. Equal calls share one kernel.

    `constants` are the indices of the operands that are known when compiling, which kernels may want packed.
    """

    op: str
    attributes: tuple[tuple[str, Attribute], ...]
    operands: tuple[TensorType, ...]
    results: tuple[TensorType, ...]
    constants: tuple[int, ...] = ()

    @classmethod
    def of(cls, node: Node) -> KernelCall:
        """The call that a node makes."""
        operands, results = (tuple(v.type for v in values) for values in (node.operands, node.results))
        constants = tuple(i for i, v in enumerate(node.operands) if v.is_constant)
        return cls(node.op.name, tuple(node.attributes.items()), operands, results, constants)

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
        operands = ", ".join(f"{'constant ' * (i in self.constants)}{t}" for i, t in enumerate(self.operands))
        return f"{self.op}({operands}){{{attributes}}} -> {', '.join(map(str, self.results))}"

    @property
    def key(self) -> str:
        """The spelling without the numbers of quantisation, on which the time does not depend: what is measured."""
        attributes = tuple((name, value) for name, value in self.attributes if not _QUANTIZATION.search(name))
        operands, results = (
            tuple(replace(type, quantization=None) for type in types) for types in (self.operands, self.results)
        )
        return KernelCall(self.op, attributes, operands, results, self.constants).text

    def digest(self, *generator: str) -> str:
        """A hash of the call and of what generates its code (target fingerprint, versions)."""
        return hashlib.sha256("\n".join([self.text, *generator]).encode()).hexdigest()[:24]
