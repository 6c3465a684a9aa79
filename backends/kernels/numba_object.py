"""Kernels through Numba: to an object file without a Python symbol, or to a function for `@njit` code.

The bare way: Numba types and lowers the kernel, its module is taken before it is optimised, everything but the kernel
is made internal, so that Numba's wrappers and their Python symbols fall away, and LLVM optimises once, for the
processor of the target. The module is neutral: with another data layout and triple it becomes code for another
processor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from numba import njit, types
from numba.core.ccallback import CFunc
from numba.core.codegen import CPUCodeLibrary
from numba.extending import intrinsic

from nascompiler.backends.kernels.emitter import Emitter, Index, Pointer
from nascompiler.backends.kernels.kernel import SHARE, Kernel

TRIPLES = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}
"""What LLVM calls the machines that objects are made for, by architecture."""

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()


def emit_object(kernel: Kernel) -> bytes:
    """The object file whose only global symbol is the kernel's function."""
    module, machine = _optimised(kernel)
    return bytes(machine.emit_object(module))


def emit_assembly(kernel: Kernel) -> str:
    """The same as text, to read and for llvm-mca."""
    module, machine = _optimised(kernel)
    return str(machine.emit_assembly(module))


def jit(kernel: Kernel) -> Any:
    """The kernel as a Numba function of addresses (intp) and sizes, to be called from Python or `@njit` code."""
    return njit(nogil=True, error_model="numpy")(_python_function(kernel))


def _python_function(kernel: Kernel) -> Any:
    """A Python function of the kernel's arguments for Numba to compile, which wants a signature without *arguments."""
    return _function(kernel.name, argument_names(kernel), "_body({arguments})\n    return 0", _body=_intrinsic(kernel))


def _function(name: str, arguments: Sequence[str], body: str, **scope: Any) -> Any:
    """A function of the given arguments; `{arguments}` in the body stands for all of them."""
    listed = ", ".join(arguments)
    exec(f"def {name}({listed}):\n    {body.format(arguments=listed)}", scope)  # noqa: S102  # names of our own
    return scope[name]


def argument_names(kernel: Kernel) -> tuple[str, ...]:
    """The arguments of the C function in order."""
    return (*kernel.pointers, *kernel.sizes, *SHARE)


def _intrinsic(kernel: Kernel) -> Any:
    names = argument_names(kernel)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emitter = Emitter(builder, kernel.isa)
        values = dict(zip(names, arguments, strict=True))
        pointers = {
            name: Pointer(emitter, builder.inttoptr(values[name], emitter.address_type), dtype)
            for name, dtype in kernel.pointers.items()
        }
        sizes = {name: Index(emitter, values[name]) for name in (*kernel.sizes, *SHARE)}
        kernel.emit(emitter, pointers, sizes)
        return context.get_dummy_value()

    signature = types.void(*[types.intp] * len(names))
    return intrinsic(_function("body", ("context", *names), "return _typed", _typed=(signature, generate)))


def _optimised(kernel: Kernel) -> tuple[Any, Any]:
    """The kernel's module, optimised for its processor, and LLVM's machine for it."""
    signature = ((types.intp,) * len(argument_names(kernel)), types.int32)
    function: Any = CFunc(_python_function(kernel), signature, {}, {"nopython": True, "error_model": "numpy"})
    with _without_function_passes():
        compiled = function._compile_uncached()  # CFunc.compile would go on to machine code of this process
    text = str(compiled.library._final_module)
    triple = TRIPLES[kernel.isa.architecture]
    machine = llvm.Target.from_triple(triple).create_target_machine(
        cpu=kernel.isa.processor, opt=3, reloc="pic", codemodel="small"
    )
    text = re.sub(r'target triple = ".*"', f'target triple = "{triple}"', text)
    text = re.sub(r'target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', text)
    text = re.sub(r'"target-(cpu|features)"="[^"]*"', "", text)
    wrapper = compiled.fndesc.llvm_cfunc_wrapper_name
    module = llvm.parse_assembly(text.replace(wrapper, kernel.symbol))
    for item in [*module.functions, *module.global_variables]:
        if not item.is_declaration and item.name != kernel.symbol:
            item.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = False  # kernels say themselves what is a vector
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    module.verify()
    return module, machine


@contextmanager
def _without_function_passes() -> Iterator[None]:
    """Numba optimises functions one by one before it links them: a fifth of the time, for a module optimised later."""
    original = CPUCodeLibrary._optimize_functions
    CPUCodeLibrary._optimize_functions = lambda self, module: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        CPUCodeLibrary._optimize_functions = original  # type: ignore[method-assign]
