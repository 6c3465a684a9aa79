"""Kernels as functions of this process: their objects, linked into a library and loaded. The code is the artifacts'."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nascompiler.backends.cache import cached_file
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import detect_host
from nascompiler.backends.kernels.kernel import Kernel
from nascompiler.backends.tile_permission import permit_tiles
from nascompiler.backends.toolchain import link_shared

Function = Callable[..., int]
"""Takes the addresses of the kernel's arrays, its sizes, chunk and chunks, all as integers."""


def object_file(kernel: Kernel) -> tuple[Path, bool]:
    """The kernel's object file in the cache, and whether it was there already; only when not, LLVM is imported."""

    def write(path: Path) -> None:
        from nascompiler.backends.kernels.object_code import emit_object

        path.write_bytes(emit_object(kernel))

    return cached_file(f"kernels/{kernel.symbol}.o", write)


def load(kernels: Sequence[Kernel]) -> Mapping[str, Function]:
    """The functions of some kernels by symbol.

    Raises DeviceError for kernels of an instruction set that this machine lacks, and when there is no linker.
    """
    host = detect_host()
    for kernel in kernels:
        missing = sorted(kernel.isa.features - host.features)
        if kernel.isa.architecture != host.architecture or missing:
            lacks = ", ".join(missing) or kernel.isa.architecture
            raise DeviceError(f"{kernel.symbol} needs {lacks}, which this machine ({host.model}) lacks")
    for kernel in kernels:
        permit_tiles(kernel.isa.features)
    objects = {kernel.symbol: object_file(kernel)[0] for kernel in kernels}
    key = hashlib.sha256("\n".join(sorted(objects)).encode()).hexdigest()[:24]
    library, _ = cached_file(
        f"kernels/{key}.so", lambda path: link_shared(list(objects.values()), path, kernels[0].isa)
    )
    loaded = ctypes.CDLL(str(library))
    functions: dict[str, Function] = {}
    for kernel in kernels:
        function = getattr(loaded, kernel.symbol)
        function.argtypes = [ctypes.c_int64] * (len(kernel.pointers) + len(kernel.sizes) + 2)
        function.restype = ctypes.c_int32
        functions[kernel.symbol] = function
    return functions
