"""Compiling loops with Numba, kept on disk until any of our sources changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """The function, compiled. Steps in float32 stay apart: nothing is contracted or reordered.

    Numba keeps machine code by name and file of a function and overlooks changes of those that it calls; the name
    therefore carries a hash of all sources that kernels are made of.
    """
    function.__qualname__ = f"{function.__qualname__}_{_sources_hash()}"
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        made = njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = njit(**options)(function)
    return cast(Callable[P, R], made)


@lru_cache(maxsize=1)
def _sources_hash() -> str:
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for file in sorted([Path(__file__), *(folder / "isa").glob("*.py"), *(folder / "simulator").glob("*.py")]):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]
