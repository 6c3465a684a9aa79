"""The PrimFunc around a kernel: it takes arrays and sizes as they come, and TVM's threads share the chunks.

One serves every shape, since sizes are arguments of the kernel.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from nascompiler.backends.cpu.implementation import WRITTEN
from nascompiler.backends.kernels.kernel import Kernel

SUFFIX = "_call"
"""How the symbols of these PrimFuncs end."""

_DATA = 1
"""TVM's number of the field of a DLTensor that has the address of the elements."""


def caller_symbol(kernel: Kernel) -> str:
    """The name under which the program calls a kernel."""
    return f"{kernel.symbol}{SUFFIX}"


def caller(kernel: Kernel) -> Any:
    """The PrimFunc (arrays that are read, sizes, chunks, arrays that are written)."""
    read = [name for name in kernel.pointers if name not in WRITTEN]
    written = [name for name in kernel.pointers if name in WRITTEN]
    with IRBuilder() as builder:
        with T.prim_func(s_tir=True):
            T.func_name(caller_symbol(kernel))
            T.func_attr({"global_symbol": caller_symbol(kernel), "tirx.noalias": True})
            tensors = {name: T.arg(name, T.handle()) for name in read}
            sizes = [T.arg(name, T.int64()) for name in kernel.sizes]
            chunks = T.arg("chunks", T.int64())
            tensors |= {name: T.arg(name, T.handle()) for name in written}
            data = [
                T.Bind(tirx.call_intrin("handle", "tirx.tvm_struct_get", tensors[name], 0, _DATA))
                for name in kernel.pointers
            ]
            with T.parallel(0, chunks) as chunk:
                T.evaluate(T.call_extern("int32", kernel.symbol, *data, *sizes, chunk, chunks))
    return builder.get()
