"""What this machine has of what the project uses: packages, their versions, tools, processor features."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nascompiler.backends.devices.runtime import SETUP, missing_runtime, runtime_folder
from nascompiler.backends.host import detect_host
from nascompiler.backends.tvm_versions import ACCEPTED, installed_versions


class State(Enum):
    OK = "ok"
    MISSING = "missing"
    CLASH = "clash"


@dataclass(frozen=True)
class Finding:
    """One piece: its state, what was found, what it gives, and the remedy; `needed` when compiling fails without."""

    piece: str
    state: State
    found: str
    gives: str
    remedy: str = ""
    needed: bool = False

    @property
    def is_fatal(self) -> bool:
        return self.needed and self.state is not State.OK

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "state": self.state.value}


NEEDED = {
    "numpy": "the reference evaluator",
    "safetensors": "weights in files",
    "onnx": "import and export of ONNX models",
}
OPTIONAL = {
    "torch": "training, import and export of torch modules",
    "onnxruntime": "--verify against ONNX Runtime, bench --against onnxruntime",
    "openvino": "bench --against openvino",
    "rapidocr-onnxruntime": "the trained models of the demo and the tests",
    "matplotlib": "rendered text lines (its fonts), plots",
    "pillow": "rendered text lines",
}
TOOLS = {
    "gcc": ("links compiled kernels into a library", "gcc", True),
    "g++": ("links compiled kernels into a library", "g++", True),
    "qemu-aarch64": ("runs code for ARM without a board", "qemu-user", False),
    "aarch64-linux-gnu-gcc": ("links code for ARM", "gcc-aarch64-linux-gnu", False),
    "llvm-mca-19": ("estimates kernels for processors that are not here", "llvm-19", False),
}
FEATURES = ("avx2", "avx512f", "avx512_vnni", "amx_int8")


def examine() -> list[Finding]:
    """Every piece, needed ones first."""
    return [*_tvm(), *_packages(), *_tools(), _device_runtime(), _processor()]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _tvm() -> Iterator[Finding]:
    """TVM and its FFI must be the one pair known to work: with others it dies in a segmentation fault."""
    installed = installed_versions()
    for package, wanted in ACCEPTED.items():
        found = installed[package]
        state = State.OK if found == wanted else State.MISSING if found is None else State.CLASH
        remedy = "" if state is State.OK else f"pip install {package}=={wanted}"
        yield Finding(package, state, found or "", "compiling for every target", remedy, needed=True)


def _packages() -> Iterator[Finding]:
    for package, gives in {**NEEDED, **OPTIONAL}.items():
        found = _installed(package)
        without = " --no-deps" if package == "rapidocr-onnxruntime" else ""
        remedy = "" if found else f"pip install{without} {package} -c constraints.txt"
        state = State.OK if found else State.MISSING
        yield Finding(package, state, found or "", gives, remedy, needed=package in NEEDED)


def _tools() -> Iterator[Finding]:
    for tool, (gives, package, needed) in TOOLS.items():
        found = shutil.which(tool)
        remedy = "" if found else f"apt-get install {package}"
        yield Finding(tool, State.OK if found else State.MISSING, found or "", gives, remedy, needed)


def _device_runtime() -> Finding:
    missing = missing_runtime("aarch64")
    state, found = (State.MISSING, "") if missing else (State.OK, str(runtime_folder("aarch64")))
    return Finding("TVM's runtime for aarch64", state, found, "runs code for ARM", SETUP if missing else "")


def _processor() -> Finding:
    host = detect_host()
    present = [feature for feature in FEATURES if feature in host.features]
    return Finding(
        "processor", State.OK, f"{host.model}, {host.cores} cores: {', '.join(present)}", "kernels by feature"
    )
