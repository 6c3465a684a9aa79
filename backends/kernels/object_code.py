"""Kernels to object files: LLVM IR by Numba's code generator, optimised and compiled for the target's processor.

What Numba's front end would put around the body of a kernel is the same for all of them, an entry and a return, so it
is written here; the body is the one that `numba_function.jit` hands to Numba. The IR says nothing of this machine: with
another data layout and triple it becomes code for another processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer
from nascompiler.backends.kernels.kernel import SHARE, Kernel

TRIPLES = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}
"""What LLVM calls the machines that objects are made for, by architecture."""

_I32, _I64 = ir.IntType(32), ir.IntType(64)

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
llvm.initialize_native_asmparser()  # for the few instructions that kernels give as text


def emit_object(kernel: Kernel) -> bytes:
    """The object file whose only global symbol is the kernel's function."""
    module, machine = _optimised(kernel)
    return bytes(machine.emit_object(module))


def emit_assembly(kernel: Kernel) -> str:
    """The same as text, to read and for llvm-mca."""
    module, machine = _optimised(kernel)
    return str(machine.emit_assembly(module))


def argument_names(kernel: Kernel) -> tuple[str, ...]:
    """The arguments of the C function in order."""
    return (*kernel.pointers, *kernel.sizes, *SHARE)


def emit_body(kernel: Kernel, builder: Any, arguments: Sequence[Any]) -> None:
    """Emit the work of a kernel where `builder` stands; `arguments` are those of the C function, as 64-bit integers."""
    emitter = Emitter(builder, kernel.isa)
    values = dict(zip(argument_names(kernel), arguments, strict=True))
    pointers = {
        name: Pointer(emitter, builder.inttoptr(values[name], emitter.address_type), dtype)
        for name, dtype in kernel.pointers.items()
    }
    sizes = {name: Index(emitter, values[name]) for name in (*kernel.sizes, *SHARE)}
    kernel.emit(emitter, pointers, sizes)


def _module(kernel: Kernel) -> Any:
    """The IR of the C function."""
    module = ir.Module(kernel.symbol)
    type = ir.FunctionType(_I32, [_I64] * len(argument_names(kernel)))
    function = ir.Function(module, type, kernel.symbol)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    emit_body(kernel, builder, function.args)
    builder.ret(ir.Constant(_I32, 0))
    return module


def _optimised(kernel: Kernel) -> tuple[Any, Any]:
    """The kernel's module, optimised for its processor, and LLVM's machine for it."""
    triple = TRIPLES[kernel.isa.architecture]
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=kernel.isa.processor, features=",".join(kernel.isa.attributes), opt=3, reloc="pic", codemodel="small"
    )
    made = _module(kernel)
    made.triple, made.data_layout = triple, str(machine.target_data)
    module = llvm.parse_assembly(str(made))
    module.verify()
    _optimise(module.get_function(kernel.symbol), machine)
    return module, machine


def _optimise(function: Any, machine: Any) -> None:
    """Run what kernels need of LLVM's passes over IR.

    They say themselves what is a vector and which loops are unrolled. What is left is to simplify, and to take out of
    loops what does not change there. The usual pipeline takes twice as long, for more code that is no faster.
    """
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    builder.getFunctionPassManager().run(function, builder)
    unrolling = llvm.create_new_function_pass_manager()
    unrolling.add_loop_unroll_pass()
    unrolling.run(function, builder)
