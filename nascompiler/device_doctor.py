"""What there is to run code for a target, checked one thing after the other: device, features, a kernel, a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.cores import Core
from nascompiler.backends.devices.address import Address
from nascompiler.backends.devices.emulator import missing_pieces
from nascompiler.backends.devices.opening import Description, describe_device, open_session
from nascompiler.backends.devices.program import DeviceProgram
from nascompiler.backends.devices.runtime import own_version
from nascompiler.backends.target import Target
from nascompiler.backends.verify_artifact import random_images, verify_artifact
from nascompiler.doctor import Finding, State
from nascompiler.ir import Builder, Graph
from nascompiler.ir.errors import Error

_TIMED, _LEAST_MS = 7, 20


def examine_device(target: Target, address: Address) -> Iterator[Finding]:
    """Findings in the order in which they are made; the first that is fatal is the last."""
    core = target.core
    assert core is not None
    if address.is_emulated:
        missing = missing_pieces()
        yield Finding(
            "emulator",
            State.MISSING if missing else State.OK,
            "" if missing else f"qemu as {core.emulator.cpu}" + ("" if core.emulator.exact else ", which has more"),
            f"runs code for {core.name} without a board",
            "; ".join(missing),
            needed=True,
        )
        if missing:
            return
    start = time.perf_counter()
    try:
        with open_session(core, address, threads=target.threads) as session:
            took = time.perf_counter() - start
            yield Finding("device", State.OK, f"{session.name} answers, after {took:.1f} s", "runs code", needed=True)
            described = describe_device(session)
        yield from _described(described, target, core, address)
        yield from _kernel(target, address)
    except Error as error:
        yield Finding("device", State.MISSING, str(address), "runs code", str(error), needed=True)


def _described(described: Description | None, target: Target, core: Core, address: Address) -> Iterator[Finding]:
    """What the device says of itself, beside what the target says of it."""
    if described is None:
        found = "not told: a server that is not ours"
        yield Finding("features", State.OK, found, "which code can run", "nascompiler device serve")
        return
    wanted = own_version()
    same = described.version == wanted
    remedy = "" if same else f"run the server of this version of nascompiler there (tvm-ffi {wanted})"
    yield Finding(
        "runtime", State.OK if same else State.CLASH, f"tvm-ffi {described.version}", "loads code", remedy, needed=True
    )
    missing = sorted(target.isa.features - described.features)
    more = sorted(described.features - set(core.features) - {"fphp", "atomics"})
    found = ", ".join(sorted(described.features)) + (f" (more than {core.name} has: {', '.join(more)})" if more else "")
    remedy = f"compile for a core without {', '.join(missing)}" if missing else ""
    state = State.CLASH if missing else State.OK
    yield Finding("features", state, found, f"code for {target.isa.name}", remedy, needed=True)
    if address.is_emulated:
        yield Finding("clock", State.OK, "an emulator has none", "latencies come from estimates")
        return
    clock = f"{described.clock_khz / 1e6:.2f} GHz now" if described.clock_khz else "not told"
    most = f", at most {described.most_khz / 1e6:.2f}" if described.most_khz else ""
    governor = f", governor {described.governor}" if described.governor else ""
    steady = described.governor in ("", "performance")
    remedy = "" if steady else "set the governor to performance while you measure: otherwise the clock moves"
    found = f"{clock}{most}{governor}; the target says {core.clock_hz / 1e9:.2f}"
    yield Finding("clock", State.OK, found, "latencies that repeat", remedy)


def _kernel(target: Target, address: Address) -> Iterator[Finding]:
    """One kernel, compared with the reference evaluation, and on a board one measurement of it."""
    with tempfile.TemporaryDirectory(prefix="nascompiler-") as folder:
        compile_graph(_one_kernel(), target, Path(folder) / "kernel")
        artifact = load_artifact(Path(folder) / "kernel", device=str(address))
        program = artifact._program
        assert isinstance(program, DeviceProgram)
        try:
            verification = verify_artifact(artifact, random_images(artifact))
            state = State.OK if verification.passed else State.CLASH
            yield Finding("kernel", state, str(verification), "right results", "; ".join(verification.faults), True)
            if address.is_emulated:
                return
            times = program.time_steps(_TIMED, _LEAST_MS)
            spread = (max(times) - min(times)) / median(times)
            remedy = "" if spread < 0.1 else "the device is busy, or its clock moves: measure again"
            found = f"{median(times) / 1000:.1f} µs, {_TIMED} times, {spread:.0%} apart"
            yield Finding("measurement", State.OK, found, "latencies", remedy)
        finally:
            program.close()


def _one_kernel() -> Graph:
    """A pointwise convolution of 14 x 14 pixels, 64 channels to 96."""
    generator = np.random.default_rng(0)
    build = Builder("kernel")
    x = build.input("x", (1, 14, 14, 64))
    weight = build.constant(generator.standard_normal((1, 1, 64, 96), dtype=np.float32) * np.float32(0.1))
    return build.outputs(y=build.nn.conv2d(x, weight))
