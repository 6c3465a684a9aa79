"""Which TVM we accept. Asked before TVM is imported: a wrong pair dies in a segmentation fault, not in an exception."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from nascompiler.backends.errors import DeviceError

ACCEPTED = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.14.post1"}
"""The pair that was tested. With apache-tvm-ffi 0.1.15 `tvm.ir.save_json` and others crash the process."""

REPAIR = "pip install " + " ".join(f"{package}=={wanted}" for package, wanted in ACCEPTED.items())


def installed_versions() -> dict[str, str | None]:
    """The installed version of each package of the pair, None for one that is missing. Imports nothing."""
    found: dict[str, str | None] = {}
    for package in ACCEPTED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def version_fault() -> str | None:
    """What is wrong with the installed TVM and how to repair it, or None when it is the pair we accept."""
    faults = [
        f"{package} {found or 'is not installed'}, needed {ACCEPTED[package]}"
        for package, found in installed_versions().items()
        if found != ACCEPTED[package]
    ]
    return f"TVM cannot be used: {'; '.join(faults)}. To repair it: {REPAIR}" if faults else None


def require_tvm() -> None:
    """Raise DeviceError unless the accepted pair is installed."""
    fault = version_fault()
    if fault is not None:
        raise DeviceError(fault)


@contextmanager
def without_torch() -> Iterator[None]:
    """While tvm_ffi or TVM is imported: they import torch wherever it is installed, for conversions that nothing here
    uses: two thirds of the time it takes, and most of the memory.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        del sys.modules["torch"]
