"""A straight list of steps over numbered slots, and how it runs. Nothing in it refers to the graph it came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from nascompiler.torch_bridge.lowering.table import LOWERINGS

ABSENT = 0
"""The slot of operands that are not there; it holds None."""


@dataclass(frozen=True)
class Step:
    """One op: `module` if it has one, else `body` (a decomposition), else the lowering of `op`.

    `operands` and `results` are slots; `frees` are the slots that nothing reads afterwards.
    """

    op: str
    operands: tuple[int, ...]
    results: tuple[int, ...]
    attributes: dict[str, Any]
    module: nn.Module | None = None
    body: Program | None = None
    frees: tuple[int, ...] = ()

    def run(self, operands: list[Any]) -> tuple[Any, ...]:
        """The results for operand tensors, in the layouts that were planned."""
        if self.module is not None:
            return (self.module(*operands),)
        if self.body is not None:
            return tuple(self.body.run(operands))
        made = LOWERINGS[self.op].function(*operands, **self.attributes)
        return made if isinstance(made, tuple) else (made,)


@dataclass(frozen=True)
class Program:
    """Steps in order. `inputs` are the slots to fill before the first, `outputs` those to read after the last."""

    slots: int
    inputs: tuple[int, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]

    def run(self, given: Iterable[Any]) -> list[Any]:
        """The outputs for tensors that go into the input slots; values are dropped after their last use."""
        values: list[Any] = [None] * self.slots
        for slot, tensor in zip(self.inputs, given, strict=True):
            values[slot] = tensor
        for step in self.steps:
            results = step.run([values[slot] for slot in step.operands])
            for slot, tensor in zip(step.results, results, strict=True):
                values[slot] = tensor
            for slot in step.frees:
                values[slot] = None
        return [values[slot] for slot in self.outputs]


def with_frees(steps: Iterable[Step], outputs: Iterable[int]) -> tuple[Step, ...]:
    """The steps, each with the slots that are read for the last time in it."""
    kept = {ABSENT, *outputs}
    found = []
    for step in reversed(list(steps)):
        last = {slot for slot in (*step.operands, *step.results) if slot not in kept}
        kept |= last
        found.append(Step(**{**vars(step), "frees": tuple(sorted(last))}))
    return tuple(reversed(found))
