"""What estimates need besides this package: an emulator, two compilers of C and LLVM's model of pipelines."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from shutil import which

from nascompiler.backends.cache import cached_file
from nascompiler.backends.errors import DeviceError

INSTALL = "apt-get install qemu-user gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross llvm-19"

SYSROOT = "/usr/aarch64-linux-gnu"

PREFERRED_LLVM = 19
"""The version that estimates were checked with; others that are not too old are taken where it is missing."""

_LLVM_VERSIONS = (PREFERRED_LLVM, *range(30, 13, -1))

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Llvm:
    """LLVM's disassembler and its model of pipelines, of one version."""

    mc: str
    mca: str
    version: int


def emulator() -> str:
    """The program that runs code for aarch64; raises DeviceError where there is none."""
    return _program("qemu-aarch64", "running code for ARM in an emulator")


def linker() -> str:
    """The compiler that links code for aarch64; raises DeviceError where there is none."""
    return _program("aarch64-linux-gnu-gcc", "linking code for ARM")


def llvm(since: int) -> Llvm:
    """The LLVM to take for a core whose model is right from version `since` on.

    Raises DeviceError where there is none, or only older ones: their models of cores give other cycles.
    """
    old: list[str] = []
    for name in [*(f"llvm-mca-{version}" for version in _LLVM_VERSIONS), "llvm-mca"]:
        mca, mc = which(name), which(name.replace("mca", "mc"))
        if mca is None or mc is None:
            continue
        version = _version(mca)
        if version >= since:
            return Llvm(mc, mca, version)
        old.append(f"{name} of version {version}" if version else f"{name}, which does not tell its version")
    if old:
        raise DeviceError(
            f"estimates of cycles need llvm-mca of version {since} or later: older ones have wrong models of the core; "
            f"found {', '.join(old)}; {INSTALL}"
        )
    raise DeviceError(f"estimates of cycles need llvm-mca of version {since} or later; {INSTALL}")


def plugin() -> Path:
    """The emulator's plugin, compiled by the host's compiler on first use; raises DeviceError where that fails."""
    compiler = which("gcc") or which("cc")
    if compiler is None:
        raise DeviceError(f"profiles need a compiler of C: {INSTALL}")
    return _compiled(_HERE / "plugin.c", [compiler, "-O2", "-shared", "-fPIC"], ".so")


def runner() -> Path:
    """The program that runs kernels in the emulator, compiled on first use; raises DeviceError where that fails."""
    spec = find_spec("tvm_ffi")
    if spec is None or not spec.submodule_search_locations:
        raise DeviceError("profiles need the headers of apache-tvm-ffi, which is not installed")
    headers = Path(spec.submodule_search_locations[0]) / "include"
    return _compiled(
        _HERE / "runner.c", [linker(), "-O2", "-rdynamic", f"-I{headers}"], "", ["-Wl,--no-as-needed", "-ldl", "-lm"]
    )


def run_tool(command: Sequence[str], text: str, purpose: str) -> str:
    """What a tool makes of a text; raises DeviceError with its words when it fails."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        words = done.stderr.strip()[:500] or f"exit code {done.returncode}"
        raise DeviceError(f"{purpose} failed: {Path(command[0]).name}: {words}")
    return done.stdout


def estimator_sources() -> Sequence[Path]:
    """The files that decide what an estimate is."""
    return sorted(path for path in _HERE.iterdir() if path.suffix in (".py", ".c"))


@lru_cache(maxsize=1)
def estimator_hash() -> str:
    """A hash of those files: estimates of another version are older ones."""
    state = hashlib.sha256()
    for path in estimator_sources():
        state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _program(name: str, purpose: str) -> str:
    found = which(name)
    if found is None:
        raise DeviceError(f"{purpose} needs {name}: {INSTALL}")
    return found


@lru_cache(maxsize=32)
def _version(mca: str) -> int:
    """The major version that llvm-mca says it has; 0 where it does not."""
    try:
        text = subprocess.run([mca, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r"version (\d+)\.", text)
    return int(match[1]) if match else 0


def _compiled(source: Path, command: Sequence[str], suffix: str, libraries: Sequence[str] = ()) -> Path:
    """A C source compiled, kept by the hash of source and command."""
    key = hashlib.sha256(source.read_bytes() + repr((command, libraries)).encode()).hexdigest()[:24]

    def write(path: Path) -> None:
        done = subprocess.run(
            [*command, str(source), "-o", str(path), *libraries], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise DeviceError(f"{command[0]} cannot compile {source.name}: {done.stderr.strip()[:500]}; {INSTALL}")

    return cached_file(f"arm/{source.stem}-{key}{suffix}", write)[0]
