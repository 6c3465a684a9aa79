"""How a kernel call can be computed: by which kernel, with which sizes, on weights packed how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.ir.types import Array

if TYPE_CHECKING:
    from nascompiler.backends.kernels.kernel import Kernel

WRITTEN = ("result", "pooled", "workspace")
"""Names of the arrays that kernels write; every other array is an operand of the call or made of its constants."""


def as_they_are(names: Mapping[str, int]) -> Callable[[Mapping[int, Array]], dict[str, Array]]:
    """Constants that a kernel reads as the call has them: by name of the pointer, the operand's index."""
    return lambda operands: {name: operands[index] for name, index in names.items()}


@dataclass(frozen=True)
class Implementation:
    """One way to compute a kernel call.

    `variant` names it among the ways to compute the same call. `operands` says for the kernel's pointers which computed
    operand of the call they are; `constants` makes the arrays of its other inputs from the call's constant operands,
    by index. `sizes` are the kernel's; `chunks` the parts that threads may share; `workspace` elements of scratch
    memory. Where `suits` says no to the constant operands, `otherwise` computes the call, under the same name.
    """

    variant: str
    kernel: Kernel
    operands: Mapping[str, int]
    constants: Callable[[Mapping[int, Array]], Mapping[str, Array]]
    sizes: Mapping[str, int]
    chunks: int = 1
    workspace: int = 0
    suits: Callable[[Mapping[int, Array]], bool] | None = None
    otherwise: Implementation | None = None

    def __post_init__(self) -> None:
        assert tuple(self.sizes) == self.kernel.sizes, (self.kernel.sizes, tuple(self.sizes))

    def fitting(self, operands: Mapping[int, Array]) -> Implementation:
        """This, or what computes the call with these constant operands."""
        return self if self.otherwise is None or self.suits is None or self.suits(operands) else self.otherwise


Candidates = Callable[[KernelCall, Target], Sequence[Implementation]]

IMPLEMENTATIONS: dict[str, list[Candidates]] = {}
"""By op, what lists the ways to compute a call of it, the one to use without measurements first."""


def implements(*ops: str) -> Callable[[Candidates], Candidates]:
    """Register a function that lists implementations of calls of some ops; those registered first come first."""

    def register(function: Candidates) -> Candidates:
        for op in ops:
            IMPLEMENTATIONS.setdefault(op, []).append(function)
        return function

    return register


def candidates(call: KernelCall, target: Target) -> list[Implementation]:
    """All ways to compute a call on a target; none for calls that only a template or TVM computes."""
    from nascompiler.backends.cpu import implementations  # noqa: F401  # registers them

    return [made for function in IMPLEMENTATIONS.get(call.op, ()) for made in function(call, target)]
