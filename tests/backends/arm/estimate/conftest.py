"""What tests of estimates share: the emulator and the models of cores have to be installed."""

from __future__ import annotations

from shutil import which

import pytest

from nascompiler.backends.arm.estimate.tools import INSTALL

TOOLS = ("qemu-aarch64", "aarch64-linux-gnu-gcc", "gcc", "llvm-mca-19", "llvm-mc-19")


def missing_tools() -> list[str]:
    """What estimates need and is not installed."""
    return [tool for tool in TOOLS if which(tool) is None]


@pytest.fixture
def _tools() -> None:
    """Skips where something is missing."""
    if missing := missing_tools():
        pytest.skip(f"{', '.join(missing)} missing: {INSTALL}")
