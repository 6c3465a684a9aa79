"""The fingerprint of what makes the code of kernel calls and times it: measurements by others are older ones."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

_BACKENDS = Path(__file__).parents[1]

SOURCES = (
    "kernels/**/*.py",
    "cpu/implementations/*.py",
    "cpu/packing.py",
    "cpu/plans.py",
    "cpu/tiling.py",
    "tvm_adapter/caller.py",
    "tvm_adapter/leftovers/*.py",
    "tvm_adapter/schedule*.py",
    "tvm_adapter/templates/*.py",
    "tvm_adapter/variants.py",
)
"""What the code of a call depends on, and how it is timed, relative to backends/."""

PACKAGES = ("apache-tvm", "llvmlite", "numba")


@lru_cache(maxsize=1)
def generator_hash() -> str:
    """A hash of the source that makes kernels, and of the versions of what compiles them."""
    state = hashlib.sha256(repr(generator_versions()).encode())
    for path in sorted(path for pattern in SOURCES for path in _BACKENDS.glob(pattern)):
        state.update(path.relative_to(_BACKENDS).as_posix().encode() + path.read_bytes())
    return state.hexdigest()[:16]


@lru_cache(maxsize=1)
def generator_versions() -> dict[str, str]:
    """The versions of the packages that compile kernels."""
    return {name: version(name) for name in PACKAGES}
