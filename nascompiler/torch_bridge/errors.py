"""What can be wrong between a graph and torch; every reason is listed at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nascompiler.ir.errors import ModelError


class TorchError(ModelError):
    """A program, file or module of torch that does not fit, or a graph that torch cannot run."""


@dataclass(frozen=True)
class UnsupportedOp:
    """One node that has no counterpart, and why."""

    name: str
    operator: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.operator}): {self.reason}"


class UnsupportedOpsError(TorchError):
    """Nodes that cannot be converted; carries every one of them, not just the first."""

    def __init__(self, title: str, nodes: Sequence[UnsupportedOp]) -> None:
        self.nodes = tuple(nodes)
        super().__init__("\n".join([f"{title}: {len(self.nodes)} unsupported", *(f"  {node}" for node in self.nodes)]))


class Refusal(Exception):
    """Raised for one node that cannot be converted; the caller collects them all."""


class Unknown(Refusal):
    """A refusal because a shape or value is not known; pointless behind a node that was refused."""
