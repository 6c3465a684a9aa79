"""The folder where compiled kernels are kept between runs, by the hash of what they were made from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

VARIABLE = "NASCOMPILER_CACHE"


def cache_folder() -> Path:
    """`$NASCOMPILER_CACHE`, or nascompiler/ in the user's cache folder."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nascompiler"


def cached_file(name: str, write: Callable[[Path], None]) -> tuple[Path, bool]:
    """The file of that name in the cache, and whether it was there already.

    Otherwise `write(temporary path)` makes it; it appears whole or not at all, whoever else writes it meanwhile. Only
    the owner may write to the folder: what is in it is linked into programs.
    """
    path = cache_folder() / name
    if path.is_file():
        return path, True
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        os.replace(temporary, path)
    return path, False
