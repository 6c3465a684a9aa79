"""What can be wrong with an ONNX model, and how a converter says that it cannot do something."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nascompiler.ir.errors import ModelError


class OnnxError(ModelError):
    """A file that is not a valid ONNX model, or a graph that cannot be written as one."""


@dataclass(frozen=True)
class UnsupportedNode:
    """One node that cannot be imported (or exported), and why; `operator` is `input` or `initializer` for those."""

    name: str
    operator: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}): {self.reason}"


class UnsupportedNodesError(OnnxError):
    """A model with nodes outside what we support; carries every one of them, not just the first."""

    def __init__(self, model: str, nodes: Sequence[UnsupportedNode], *, verb: str = "import") -> None:
        self.nodes = tuple(nodes)
        title = f"{model}: cannot {verb} {len(self.nodes)} node(s), input(s) or weight(s)"
        super().__init__("\n".join([title, *(f"  {node}" for node in self.nodes)]))


class Refusal(Exception):
    """Raised by a converter for a node that it cannot convert; the importer collects them all."""


class Unknown(Refusal):
    """A refusal because a shape, element type or value is not known; pointless behind a node that was refused."""
