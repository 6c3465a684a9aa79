"""Linkers: which one makes shared libraries for an architecture, the line it was run with, and what came out of it."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from nascompiler.backends.elf import check_library
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import detect_host
from nascompiler.backends.target import Isa

LOG = logging.getLogger("nascompiler.toolchain")
"""Linker lines, at level INFO: `nascompiler -v` shows them."""

INSTALL = "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross (or clang with lld, or pip install ziglang)"
"""What gives code for ARM a linker."""

_SHARED = ("-shared", "-nostdlib", "-fPIC")
"""Nothing is linked in: what code calls of C's library, the program that loads it has."""


@dataclass(frozen=True)
class Toolchain:
    """A compiler for C that links, and what it is told to make code for an architecture."""

    name: str
    command: tuple[str, ...]


def find_toolchain(architecture: str) -> Toolchain:
    """What links for an architecture, the first of those there are; raises DeviceError, with what to install."""
    for candidate in _candidates(architecture):
        if which(candidate.command[0]) is not None:
            return candidate
    if architecture == "aarch64":
        raise DeviceError(f"linking code for ARM needs a linker for aarch64: {INSTALL}")
    raise DeviceError(f"linking code for {architecture} needs gcc: apt-get install gcc")


def _candidates(architecture: str) -> Iterable[Toolchain]:
    if architecture == detect_host().architecture:
        yield Toolchain("gcc", ("gcc",))
        yield Toolchain("cc", ("cc",))
    yield Toolchain(f"{architecture}-linux-gnu-gcc", (f"{architecture}-linux-gnu-gcc",))
    if which("ld.lld") is not None:
        yield Toolchain("clang", ("clang", f"--target={architecture}-linux-gnu", "-fuse-ld=lld"))
    if find_spec("ziglang") is not None:
        yield Toolchain("ziglang", (sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-gnu.2.28"))


def link_shared(objects: Sequence[Path | str], library: Path, isa: Isa) -> None:
    """Write a shared library of some objects, and check that it is for the instruction set.

    Raises DeviceError when there is no linker, when it fails, and for code of another architecture or with instructions
    that the instruction set has not.
    """
    toolchain = find_toolchain(isa.architecture)
    run([*toolchain.command, *_SHARED, "-o", str(library), *map(str, objects)], "linking")
    check_library(library, isa.architecture, isa.features)


def run(command: Sequence[str], purpose: str) -> None:
    """Run a compiler or linker; raises DeviceError with its line and what it says when it fails."""
    LOG.info("%s", shlex.join(command))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeviceError(f"{purpose} failed: {shlex.join(command)}\n{done.stderr.strip()[-2000:]}")
