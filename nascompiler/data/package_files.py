"""Data files of installed packages: located, not imported, since the packages' own imports are not needed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from nascompiler.data.errors import DataError


def package_file(package: str, inside: str, *, what: str, remedy: str) -> Path:
    """The path of the file `inside` an installed package; raises DataError with the remedy where there is none.

    >>> package_file("numpy", "no-such-file", what="it", remedy="install another numpy")
    Traceback (most recent call last):
    nascompiler.data.errors.DataError: the installed numpy has no no-such-file, which holds it: install another numpy
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"{what} comes with {package}, which is not installed: {remedy}")
    path = Path(spec.submodule_search_locations[0], inside)
    if not path.is_file():
        raise DataError(f"the installed {package} has no {inside}, which holds {what}: {remedy}")
    return path
