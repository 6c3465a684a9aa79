"""What runs compiled programs: TVM's runtime library through tvm_ffi, without the compiler, which is 80 times its size.

Importing this package checks the installed versions first and raises DeviceError. It does not import tvm; a process may
do so before or afterwards.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

# Read by TVM when its pool of threads starts. Pinning would pin the caller's thread too, for good.
os.environ.setdefault("TVM_BIND_THREADS", "0")
os.environ.setdefault("TVM_NUM_THREADS", str(max(len(os.sched_getaffinity(0)), 1)))

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.tvm_versions import REPAIR, require_tvm, without_torch

require_tvm()

with without_torch():
    from tvm_ffi.libinfo import load_lib_ctypes


def _load() -> object:
    """The library where `import tvm` looks for it: loaded twice, it is still one."""
    spec = find_spec("tvm")
    folders = [Path(folder) / "lib" for folder in (spec.submodule_search_locations or ()) if spec] if spec else []
    if given := os.environ.get("TVM_LIBRARY_PATH"):
        folders.insert(0, Path(given))
    try:
        return load_lib_ctypes("tvm", "tvm_runtime", "RTLD_GLOBAL", extra_lib_paths=folders)
    except (OSError, RuntimeError) as error:
        raise DeviceError(f"TVM's runtime library cannot be loaded: {error}. To repair it: {REPAIR}") from None


LIBRARY = _load()
