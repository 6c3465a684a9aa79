"""Which template implements which op of the cpu dialect. The place where other generators of kernels take over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from nascompiler.backends import cpu
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter import templates
from nascompiler.backends.tvm_adapter.templates import convolution, depthwise

TEMPLATES: Mapping[str, Callable[[str, KernelCall, Target], Any]] = {
    "cpu.conv2d": convolution.generate,
    "cpu.linear": convolution.generate,
    "cpu.depthwise_conv2d": depthwise.generate,
}
"""(symbol, call, target) -> PrimFunc of the operands, packed as `cpu.plans.pack` says, and the result."""


@lru_cache(maxsize=1)
def generator_fingerprint() -> str:
    """A hash of the source of templates and schedules and of the geometry they cut by: in the key of every kernel."""
    state = hashlib.sha256()
    sources = [path for package in (templates, cpu) for path in Path(str(package.__file__)).parent.glob("*.py")]
    sources += Path(__file__).parent.glob("schedule*.py")
    for path in sorted(sources):
        state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest()[:16]
