"""From a lowered program to one shared library: every kernel an object of its own, compiled once and kept."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tvm
from tvm import relax, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from nascompiler.backends.cache import cached_file
from nascompiler.backends.kernels.native import object_file
from nascompiler.backends.target import Target
from nascompiler.backends.toolchain import link_shared
from nascompiler.backends.tvm_adapter.caller import SUFFIX, caller_symbol
from nascompiler.backends.tvm_adapter.device import tvm_target, unoptimised
from nascompiler.backends.tvm_adapter.lowered import LEFTOVER, Lowered
from nascompiler.backends.tvm_adapter.run_code import emit_runs
from nascompiler.backends.tvm_adapter.runs import with_runs

_KERNEL_CONFIG = {
    "tirx.disable_assert": True,  # main checks what it is given; a kernel is only called by it
    "tirx.disable_cse_tir": True,  # LLVM does these two better, and they are a fifth of the time to compile
    "tirx.disable_storage_rewrite": True,
}

_OWN_PIPELINE = "nascompiler"


def _own_pipeline() -> tuple[Any, Any, Any]:
    """TVM's lowering without what our templates have no use for: a fifth of the time to compile a kernel.

    Simplifying is no luxury: LLVM takes three times as long over indices as they are written.
    """
    passes = tirx.transform
    lowering = [
        passes.FlattenBuffer(),
        passes.NarrowDataType(32),
        passes.StmtSimplify(),
        passes.AnnotateEntryFunc(),
        passes.SplitHostDevice(),
        passes.MakePackedAPI(),
    ]
    _, host, device = tirx.get_tir_pipeline("default")
    return tvm.ir.transform.Sequential(lowering), host, device


tirx.register_tir_pipeline(_OWN_PIPELINE, _own_pipeline)


@dataclass(frozen=True)
class BuildReport:
    """How many kernels there are, how many of them were compiled, and CPU time in ns for them and for linking.

    `weights` are the numbers of those that the program takes by themselves, behind the blob of all.
    """

    kernels: int
    compiled: int
    compile_ns: int
    link_ns: int
    weights: tuple[int, ...]


def build_library(lowered: Lowered, target: Target, path: Path) -> BuildReport:
    """Write the shared library of a program to `path`; raises DeviceError when there is no linker."""
    device = tvm_target(target)
    start = time.process_time_ns()
    callers = {caller_symbol(kernel) for kernel in lowered.objects.values()}
    others = {symbol: make for symbol, make in lowered.kernels.items() if symbol not in callers}
    objects = [kernel_object(symbol, make, device) for symbol, make in others.items()]
    objects += [object_file(kernel) for kernel in lowered.objects.values()]
    compiled = time.process_time_ns()
    program = with_runs(lowered, target)
    with tempfile.TemporaryDirectory(prefix="nascompiler-") as folder:
        run_object = Path(folder) / "runs.o"
        run_object.write_bytes(emit_runs(program.runs, target.isa))
        with tvm.transform.PassContext(opt_level=3):
            module = _with_marker(program.module)
            if lowered.external:
                module = module.with_attr("external_mods", lowered.external)
            built = relax.build(module, unoptimised(device))
        export(built, [*(file for file, _ in objects), run_object], path, target)
    return BuildReport(
        kernels=len(objects),
        compiled=sum(not cached for _, cached in objects),
        compile_ns=compiled - start,
        link_ns=time.process_time_ns() - compiled,
        weights=program.weights,
    )


def export(built: Any, objects: Sequence[Path], path: Path, target: Target) -> None:
    """Link a program and the objects of its kernels; raises DeviceError when there is no linker, or it fails."""

    def link(output: str, files: Sequence[str], **_: Any) -> None:
        link_shared(files, Path(output), target.isa)

    built.export_library(str(path), fcompile=link, addons=[str(file) for file in objects])


def kernel_object(symbol: str, make: Callable[[], Any], device: Any) -> tuple[Path, bool]:
    """The object file of a kernel, and whether it was there already."""

    return cached_file(f"kernels/{symbol}.o", partial(write_kernel, symbol, make, device))


def write_kernel(symbol: str, make: Callable[[], Any], device: Any, path: Path) -> None:
    """Compile a kernel to an object file at `path`."""
    module = tvm.IRModule({symbol: make().with_attr("global_symbol", symbol)})
    pipeline = "default" if symbol.startswith(LEFTOVER) else _OWN_PIPELINE
    # callers only move arguments: optimising one is three quarters of the time to make it, and saves nothing
    kind = unoptimised(device) if symbol.endswith(SUFFIX) else device
    with tvm.transform.PassContext(opt_level=3, config=_KERNEL_CONFIG):
        tirx.build(module, target=kind, pipeline=pipeline).write_to_file(str(path))


def _with_marker(module: Any) -> Any:
    """The module with a function that does nothing: TVM looks for kernels only in a program with code of its own."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("nascompiler_marker")
        T.func_attr({"global_symbol": "nascompiler_marker"})
        T.evaluate(0)
    module = module.clone()
    module["nascompiler_marker"] = builder.get()
    return module
