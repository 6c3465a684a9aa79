"""What tests of estimates share: the emulator and the models of cores have to be installed."""

from __future__ import annotations

from shutil import which

import pytest

from nascompiler.backends.arm.estimate.tools import INSTALL

TOOLS = ("qemu-aarch64", "aarch64-linux-gnu-gcc", "gcc", "llvm-mca-19", "llvm-mc-19")


@pytest.fixture
def _tools() -> None:
    """Skips where something is missing."""
    missing = [tool for tool in TOOLS if which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing: {INSTALL}")
