"""A device that is emulated: TVM's server under qemu-user, with the very processor of a target."""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import which
from types import TracebackType

from nascompiler.backends.cores import Core
from nascompiler.backends.devices.runtime import find_runtime, missing_runtime, server_program
from nascompiler.backends.errors import DeviceCrashError, DeviceError, DeviceLostError
from nascompiler.backends.toolchain import INSTALL as LINKER
from nascompiler.backends.toolchain import find_toolchain

PACKAGES = ("qemu-user", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "libstdc++6-arm64-cross")
"""Debian packages that emulation needs."""

INSTALL = f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"

SYSROOT = Path("/usr/aarch64-linux-gnu")
"""Where those packages put C's libraries for aarch64."""

START_PATIENCE_S = 60.0


def missing_pieces() -> list[str]:
    """What is missing to emulate a device, each with what to do about it; nothing when all is there."""
    found = []
    lacking = [name for name in ("ld-linux-aarch64.so.1", "libstdc++.so.6") if not (SYSROOT / "lib" / name).exists()]
    if which("qemu-aarch64") is None or lacking:
        what = [*(["qemu-aarch64"] if which("qemu-aarch64") is None else []), *lacking]
        found.append(f"{', '.join(what)}: {INSTALL}")
    try:
        find_toolchain("aarch64")
    except DeviceError:
        found.append(f"a linker for aarch64: {LINKER}")
    if problem := missing_runtime("aarch64"):
        found.append(problem)
    return found


def require_emulator() -> None:
    """Raise DeviceError, with all there is to install, unless devices can be emulated here."""
    missing = missing_pieces()
    if missing:
        raise DeviceError(f"code for ARM cannot be run here, for want of {'; '.join(missing)}")


def emulator_command(core: Core, threads: int = 1) -> list[str]:
    """The beginning of the command line of a program for a core."""
    libraries = find_runtime("aarch64")
    environment = {"LD_LIBRARY_PATH": str(libraries), "TVM_NUM_THREADS": str(threads), "TVM_BIND_THREADS": "0"}
    settings = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    return ["qemu-aarch64", "-cpu", core.emulator.cpu, "-L", str(SYSROOT), *settings]


class EmulatedServer:
    """A server that runs while the block does, on the loopback interface, behind a key that nobody else knows.

    `once`: it serves one session and ends. `log` is the file that has what it writes to its standard error.
    """

    def __init__(
        self,
        core: Core,
        *,
        threads: int = 1,
        once: bool = True,
        port: int = 0,
        address: str = "",
        key: str | None = None,
    ) -> None:
        self.core = core
        self.key = secrets.token_hex(16) if key is None else key
        self._threads, self._once, self._port, self._address = threads, once, port, address
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> EmulatedServer:
        require_emulator()
        program = server_program("aarch64")
        self._folder = tempfile.TemporaryDirectory(prefix="nascompiler-device-")
        self.log = Path(self._folder.name) / "log"
        options = ["--port", str(self._port), "--key", self.key, *(["--once"] if self._once else [])]
        options += ["--address", self._address] if self._address else []
        command = [*emulator_command(self.core, self._threads), str(program), self._folder.name, *options]
        try:
            self._start(command)
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self, command: Sequence[str]) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # an interruption at the terminal is for us
                env={"PATH": os.environ.get("PATH", "")},
            )
        assert self._process.stdout is not None
        line, deadline = b"", time.monotonic() + START_PATIENCE_S
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise DeviceLostError(f"the emulated {self.core.name} has not started in {START_PATIENCE_S:.0f} s")
            received = os.read(self._process.stdout.fileno(), 1)
            if not received:
                self._process.wait()
                raise DeviceLostError(f"the emulated {self.core.name} cannot be started: {self._end()}")
            line += received
        self.port = int(line.split()[1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self) -> None:
        """Return when the server has ended."""
        assert self._process is not None
        self._process.wait()

    def kill(self) -> None:
        """End the server at once, whatever it does; what waits for it hears that the connection is gone."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the server and take away its files."""
        self.kill()
        if self._process is not None:
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._folder.cleanup()

    def fault(self) -> DeviceError | None:
        """Why the server has ended by itself, or None while it runs."""
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1.0)  # the connection closes a moment before
        code = self._process.poll()
        if code is None:
            return None
        how = self._end()
        if code >= 0:
            return DeviceLostError(f"the emulated {self.core.name} is gone: {how}")
        name = signal.Signals(-code).name
        why = f", an instruction that a {self.core.name} lacks" if name == "SIGILL" else ""
        return DeviceCrashError(f"the code has crashed on the emulated {self.core.name}: {name}{why}")

    def _end(self) -> str:
        assert self._process is not None
        code = self._process.returncode
        words = self.log.read_text(errors="replace").strip().splitlines()
        said = f": {words[-1][:500]}" if words else ""
        return f"{signal.Signals(-code).name if code < 0 else f'exit code {code}'}{said}"
