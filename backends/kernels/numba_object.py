"""Kernels as functions for `@njit` code, through Numba; their objects are those of `object_code`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numba import njit, types
from numba.extending import intrinsic

from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.kernels.object_code import argument_names, emit_assembly, emit_body, emit_object

__all__ = ["emit_assembly", "emit_object", "jit"]


def jit(kernel: Kernel) -> Any:
    """The kernel as a Numba function of addresses (intp) and sizes, to be called from Python or `@njit` code."""
    names = argument_names(kernel)
    function = _function(kernel.name, names, "_body({arguments})\n    return 0", _body=_intrinsic(kernel))
    return njit(nogil=True, error_model="numpy")(function)


def _function(name: str, arguments: Sequence[str], body: str, **scope: Any) -> Any:
    """A function of the given arguments, which Numba wants by name; `{arguments}` in the body stands for all."""
    listed = ", ".join(arguments)
    exec(f"def {name}({listed}):\n    {body.format(arguments=listed)}", scope)  # noqa: S102  # names of our own
    return scope[name]


def _intrinsic(kernel: Kernel) -> Any:
    """What Numba emits the body of a kernel for."""
    names = argument_names(kernel)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit_body(kernel, builder, arguments)
        return context.get_dummy_value()

    signature = types.void(*[types.intp] * len(names))
    return intrinsic(_function("body", ("context", *names), "return _typed", _typed=(signature, generate)))
