"""Our targets as TVM's."""

from __future__ import annotations

from typing import Any

import tvm
from tvm.target import codegen

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.target import Target


def tvm_target(target: Target) -> Any:
    """The TVM target; raises DeviceError for a processor that LLVM does not know, which TVM itself would accept."""
    return _target(target.isa.processor)


def unoptimised(device: Any) -> Any:
    """The same processor, for code that LLVM is to write down as it comes."""
    return tvm.target.Target({**device.export(), "opt-level": 0})


def _target(processor: str) -> Any:
    if not codegen.llvm_is_valid_cpu(processor, codegen.llvm_get_system_triple()):
        raise DeviceError(f"LLVM {codegen.llvm_version_major()} does not know the processor {processor!r}")
    # One core: TVM's own choices must not depend on the machine; kernels say themselves what threads share.
    return tvm.target.Target({"kind": "llvm", "mcpu": processor, "num-cores": 1})
