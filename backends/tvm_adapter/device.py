"""Our targets as TVM's."""

from __future__ import annotations

import platform
from typing import Any

import tvm
from tvm.target import codegen

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.kernels.object_code import TRIPLES
from nascompiler.backends.target import Isa, Target


def tvm_target(target: Target) -> Any:
    """The TVM target; raises DeviceError for a processor that LLVM does not know, which TVM itself would accept."""
    return _target(target.isa)


def unoptimised(device: Any) -> Any:
    """The same processor, for code that LLVM is to write down as it comes."""
    return tvm.target.Target({**device.export(), "opt-level": 0})


def _target(isa: Isa) -> Any:
    triple = codegen.llvm_get_system_triple() if isa.architecture == platform.machine() else TRIPLES[isa.architecture]
    if not codegen.llvm_is_valid_cpu(isa.processor, triple):
        raise DeviceError(f"LLVM {codegen.llvm_version_major()} does not know the processor {isa.processor!r}")
    # One core: TVM's own choices must not depend on the machine; kernels say themselves what threads share.
    described: dict[str, Any] = {"kind": "llvm", "mcpu": isa.processor, "num-cores": 1}
    if isa.architecture != platform.machine():
        described["mtriple"] = triple
    if isa.attributes:
        described["mattr"] = list(isa.attributes)
    return tvm.target.Target(described)
