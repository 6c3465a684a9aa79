"""What a device runs besides compiled code: TVM's runtime library for its architecture, and the server around it.

The runtime comes out of the wheels of the very packages that are installed here, built for the other architecture. They
are fetched once, by `make setup` or `nascompiler device setup`; their hashes are pinned. Nothing is downloaded later.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from nascompiler.backends.cache import cached_file
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.host import detect_host
from nascompiler.backends.toolchain import find_toolchain, run
from nascompiler.backends.tvm_versions import ACCEPTED

VARIABLE = "NASCOMPILER_DEVICE_RUNTIME"
"""The folder of the runtime libraries for other architectures, in place of the one in the Python environment."""

LIBRARIES = ("libtvm_ffi.so", "libtvm_runtime.so")

SERVER = Path(__file__).with_name("rpc_server.c")

SETUP = "nascompiler device setup"


@dataclass(frozen=True)
class Wheel:
    """A package for another machine: pip's names of platforms that it is for, and the SHA-256 of its file."""

    package: str
    platforms: tuple[str, ...]
    sha256: str


WHEELS = {
    "aarch64": (
        Wheel(
            "apache-tvm",
            ("manylinux_2_28_aarch64",),
            "4acfdb7653e4e1ba7a707bdf2833db72eb8fda7d04d99141f2a4e1da43171fb7",
        ),
        Wheel(
            "apache-tvm-ffi",
            ("manylinux_2_24_aarch64", "manylinux_2_28_aarch64"),
            "c7a759781d4fbf2b99fa12f2741f250b882b06acc2747bb02831d491d1ac7d3c",
        ),
    )
}
"""By architecture, what has its runtime libraries, of the versions that `tvm_versions.ACCEPTED` says."""

_PYTHON = "3.11"
"""Any version that there are wheels of does: no Python of theirs is run."""


def runtime_folder(architecture: str) -> Path:
    """Where the libraries of an architecture are, or are to be."""
    given = os.environ.get(VARIABLE)
    base = Path(given) if given else Path(sys.prefix) / "share" / "nascompiler" / "device-runtime"
    return base / f"{architecture}-{'-'.join(ACCEPTED.values())}"


def missing_runtime(architecture: str) -> str:
    """What is missing of the runtime of an architecture, with the line to get it; nothing when all is there."""
    folder = runtime_folder(architecture)
    lacking = [name for name in LIBRARIES if not (folder / name).is_file()]
    return f"TVM's runtime for {architecture} is not in {folder}; to fetch it: {SETUP}" if lacking else ""


def find_runtime(architecture: str) -> Path:
    """The folder of TVM's runtime libraries for an architecture; raises DeviceError, with what to do, without."""
    if architecture == detect_host().architecture:
        return _own_runtime()
    problem = missing_runtime(architecture)
    if problem:
        raise DeviceError(problem)
    return runtime_folder(architecture)


def _own_runtime() -> Path:
    """A folder with links to the libraries that are installed here."""
    found = {}
    for package, library in (("tvm", "libtvm_runtime.so"), ("tvm_ffi", "libtvm_ffi.so")):
        spec = find_spec(package)
        places = [Path(place) / "lib" / library for place in (spec.submodule_search_locations or ())] if spec else []
        existing = [place for place in places if place.is_file()]
        if not existing:
            raise DeviceError(f"{library} is not where {package} is installed")
        found[library] = existing[0]
    folder = cached_file("devices/own-runtime", lambda path: path.touch())[0].parent / "own"
    folder.mkdir(exist_ok=True)
    for library, target in found.items():
        link = folder / library
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)
    return folder


def fetch_runtime(architecture: str, wheels: Sequence[Path] = ()) -> Path:
    """Download the wheels of an architecture, unless they are given as files, and take the libraries out of them.

    Raises DeviceError when pip fails, and for a file whose hash is not the pinned one.
    """
    if architecture not in WHEELS:
        raise DeviceError(f"there is no runtime for {architecture}; there is one for {', '.join(WHEELS)}")
    folder = runtime_folder(architecture)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nascompiler-") as scratch:
        files = list(wheels) or [_download(wheel, Path(scratch)) for wheel in WHEELS[architecture]]
        pinned = {wheel.sha256: wheel.package for wheel in WHEELS[architecture]}
        for file in files:
            found = hashlib.sha256(file.read_bytes()).hexdigest()
            if found not in pinned:
                raise DeviceError(f"{file.name} has SHA-256 {found}, which is none of those that are pinned")
            _take_out(file, folder)
    problem = missing_runtime(architecture)
    if problem:
        raise DeviceError(f"the wheels lack a library: {problem}")
    return folder


def _download(wheel: Wheel, folder: Path) -> Path:
    place = folder / wheel.package
    pin = f"{wheel.package}=={ACCEPTED[wheel.package]}"
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", _PYTHON, "--dest", str(place)]
    command += [word for platform in wheel.platforms for word in ("--platform", platform)]
    done = subprocess.run([*command, pin], capture_output=True, text=True, check=False)
    found = sorted(place.glob("*.whl"))
    if done.returncode or len(found) != 1:
        raise DeviceError(f"pip cannot download {pin} for {' or '.join(wheel.platforms)}: {done.stderr.strip()[-800:]}")
    return found[0]


def _take_out(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.namelist():
            name = PurePosixPath(entry).name
            if name in LIBRARIES:
                temporary = folder / f".{name}.{os.getpid()}"
                temporary.write_bytes(archive.read(entry))
                os.replace(temporary, folder / name)


def server_program(architecture: str) -> Path:
    """The server for an architecture, compiled once and kept; its libraries are found by LD_LIBRARY_PATH.

    Raises DeviceError when there is no runtime or no compiler for it.
    """
    libraries = find_runtime(architecture)
    toolchain = find_toolchain(architecture)
    spec = find_spec("tvm_ffi")
    assert spec is not None
    headers = [Path(place) / "include" for place in spec.submodule_search_locations or ()]
    text = SERVER.read_bytes() + repr([toolchain, sorted(ACCEPTED.items())]).encode()

    def write(path: Path) -> None:
        command = [*toolchain.command, "-O2", *(f"-I{folder}" for folder in headers), str(SERVER), "-o", str(path)]
        # the runtime's own dependencies are found on the device, not here
        command += [f"-L{libraries}", "-Wl,--no-as-needed,--allow-shlib-undefined", "-ltvm_runtime", "-ltvm_ffi"]
        run(command, "compiling the server of a device")

    return cached_file(f"devices/rpc_server-{architecture}-{hashlib.sha256(text).hexdigest()[:16]}", write)[0]


@lru_cache(maxsize=1)
def own_version() -> str:
    """What the tvm-ffi that is installed here calls its version, which is not that of its package."""
    library = ctypes.CDLL(str(_own_runtime() / "libtvm_ffi.so"))
    numbers = (ctypes.c_uint32 * 3)()
    library.TVMFFIGetVersion(numbers)
    return ".".join(map(str, numbers))
