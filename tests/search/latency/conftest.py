"""A small space, a cache of its own, and workers whose times are made up."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nascompiler.backends.cache import VARIABLE
from nascompiler.backends.measure.kernels import KernelMeasurer
from nascompiler.backends.measure.lease import VARIABLE as LEASES
from nascompiler.backends.store import Measurements, Store
from nascompiler.backends.target import Target, parse_target
from nascompiler.ir import files
from nascompiler.spaces import SearchSpace

START_NS = 3000.0
"""What it takes to start a program, for workers whose times are made up."""

KERNEL_WORKER = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
from nascompiler.backends.cpu.choice import variants
from nascompiler.backends.cpu.kernel_call import KernelCall
from nascompiler.backends.measure.kernels import PROGRAM_START
from nascompiler.backends.target import parse_target
from nascompiler.ir.files import load
calls = {c.key: c for c in map(KernelCall.of, load(sys.argv[1]).nodes)}
target = parse_target(sys.argv[2])
def size_of(call):
    return sum(t.bytes for t in (*call.operands, *call.results))
def figures(size, repeats):
    return {"median_ns": 1000.0 + size, "spread_ns": 10.0, "repeats": repeats, "detail": DETAIL}
for line in sys.stdin:
    request = json.loads(line)
    if "together" in request:
        times = {key: figures(size_of(calls[key]), 40) for key in request["together"]}
        print(json.dumps({"times": {**times, PROGRAM_START: figures(START_NS - 1000.0, 40)}}), flush=True)
        continue
    call = calls[request["call"]]
    names = [n for n in variants(call, target) if n not in request["skip"]]
    broken = [n for n in names if BROKEN in (n, '*')]
    for name in broken:
        print(json.dumps({"failed": name, "outcome": "wrong result", "detail": "made up"}), flush=True)
    rows = [{"variant": n, "gain": 1.0, **figures(size_of(call), 15)} for n in names if n not in broken]
    print(json.dumps({"rows": rows, "noise": 0.02}), flush=True)
"""

NETWORK_WORKER = """
import json, os, sys
print(json.dumps({"ready": True}), flush=True)
sizes = {}
for line in sys.stdin:
    request = json.loads(line)
    if "prepare" in request:
        name = request["prepare"]
        if name == "crash": os.abort()
        sizes[name] = float(len(request.get("graph", "")))
        problem = "no such op" if name == "broken" else ""
        print(json.dumps({"prepared": name, "problem": problem, "calls": 3}), flush=True)
    elif "measure" in request:
        given = [float(name.split("=")[1]) if "=" in name else 1000.0 + len(name) for name in request["measure"]]
        ns = {n: [[t, t * 1.02, t * 0.99]] * request["rounds"] for n, t in zip(request["measure"], given)}
        disturbed = {n: [False] * request["rounds"] for n in ns}
        print(json.dumps({"ns": ns, "disturbed": disturbed}), flush=True)
"""


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(LEASES, str(tmp_path / "leases"))


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace(files.load(Path(__file__).with_name("small.nir")))


@pytest.fixture
def target() -> Target:
    return parse_target("cpu")


@pytest.fixture
def known(tmp_path: Path) -> Measurements:
    return Measurements((Store(tmp_path / "measurements.sqlite"),))


@pytest.fixture
def measurer(tmp_path: Path) -> Callable[..., Callable[..., KernelMeasurer]]:
    """`measurer(broken="gemv")`: what measures kernel calls, in a process that makes up times by their sizes."""

    def make(broken: str = "", detail: str = "") -> Callable[..., KernelMeasurer]:
        path = tmp_path / "kernel_worker.py"
        path.write_text(f"BROKEN, DETAIL, START_NS = {broken!r}, {detail!r}, {START_NS}\n{KERNEL_WORKER}")
        return partial(KernelMeasurer, command=[sys.executable, str(path)])

    return make


@pytest.fixture
def network_worker(tmp_path: Path) -> list[str]:
    """The command of a process that makes up times of networks: what stands behind = in a name, in ns."""
    path = tmp_path / "network_worker.py"
    path.write_text(NETWORK_WORKER)
    return [sys.executable, str(path)]
