"""A device for others: our server on this board, or an emulated core of this machine, alone or known to a tracker."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nascompiler.backends.cores import Core
from nascompiler.backends.devices.emulator import emulator_command, require_emulator
from nascompiler.backends.devices.runtime import find_runtime, server_program
from nascompiler.backends.errors import DeviceError, DeviceLostError
from nascompiler.backends.host import detect_host

_TRACKER_MAGIC, _SUCCESS, _PUT, _UPDATE_INFO, _PENDING = 0x2F271, 0, 3, 5, 7
"""TVM's protocol of trackers: messages are lists in JSON behind their length."""

_PATIENCE_S = 10.0
_UNUSED_S = 10.0
"""After so long a key that was handed out and not used is replaced."""

_PERIOD_S = 1.0


class Tracker:
    """A connection to a tracker, that a device is offered to."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._key = key
        try:
            self._socket = socket.create_connection((host, port), timeout=_PATIENCE_S)
            self._socket.sendall(struct.pack("<i", _TRACKER_MAGIC))
            (magic,) = struct.unpack("<i", self._received(4))
        except (OSError, struct.error) as error:
            raise DeviceLostError(f"there is no tracker at {host}:{port}: {error}") from None
        if magic != _TRACKER_MAGIC:
            raise DeviceLostError(f"{host}:{port} does not answer as a tracker of TVM does")

    def announce(self, address: str, port: int) -> None:
        """Say that there is a device, and where."""
        self._ask([_UPDATE_INFO, {"key": f"server:{self._key}", "addr": [address, port]}])

    def offer(self, address: str, port: int, secret: str) -> None:
        """Offer one session: who gets it is told the secret."""
        self._ask([_PUT, self._key, [port, secret], address])

    def is_pending(self, secret: str) -> bool:
        """Whether nobody was told the secret yet."""
        return secret in self._ask([_PENDING])

    def close(self) -> None:
        self._socket.close()

    def _ask(self, message: list[Any]) -> Any:
        text = json.dumps(message).encode()
        try:
            self._socket.sendall(struct.pack("<i", len(text)) + text)
            (size,) = struct.unpack("<i", self._received(4))
            answer = json.loads(self._received(size))
        except (OSError, ValueError) as error:
            raise DeviceLostError(f"the tracker is gone: {error}") from None
        if message[0] in (_PUT, _UPDATE_INFO) and answer != _SUCCESS:
            raise DeviceError(f"the tracker refuses the device: {answer}")
        return answer

    def _received(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            part = self._socket.recv(size - len(content))
            if not part:
                raise OSError("the connection is closed")
            content += part
        return content


@contextmanager
def served(
    core: Core, *, address: str, port: int, key: str, threads: int
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server for as many sessions as come, one at a time, and the port it listens at.

    On a machine of the core's architecture it is this machine, elsewhere the core is emulated.
    """
    architecture = core.host.architecture
    program = server_program(architecture)
    if architecture == detect_host().architecture:
        command, environment = [], {"LD_LIBRARY_PATH": str(find_runtime(architecture)), "TVM_NUM_THREADS": str(threads)}
    else:
        require_emulator()
        command, environment = emulator_command(core, threads), {}
    with tempfile.TemporaryDirectory(prefix="nascompiler-serve-") as folder:
        options = ["--address", address, "--port", str(port), "--key", key]
        process = subprocess.Popen(
            [*command, str(program), folder, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", ""), **environment},
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline().split()
            if len(line) != 2:
                raise DeviceError(f"the server at {address}:{port} has not started, with exit code {process.wait()}")
            yield int(line[1]), process
        finally:
            process.terminate()
            try:
                process.wait(timeout=_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def new_secret(key: str) -> str:
    """A key for the sessions that a tracker hands out."""
    return f"{key}:{secrets.token_hex(8)}"


def offer_sessions(
    tracker: Tracker,
    process: subprocess.Popen[bytes],
    address: str,
    port: int,
    secret: str,
    note: Callable[[str], None],
) -> None:
    """Offer one session after the other to a tracker until the server ends."""
    tracker.announce(address, port)
    tracker.offer(address, port, secret)
    assert process.stdout is not None
    handed_out: float | None = None
    is_busy, text = False, b""
    while process.poll() is None:
        if select.select([process.stdout], [], [], _PERIOD_S)[0]:
            text += os.read(process.stdout.fileno(), 1 << 12)
        *lines, text = text.split(b"\n")
        for line in lines:
            note(line.decode(errors="replace"))
            is_busy = line.startswith(b"begin")
            if line.startswith(b"end"):
                handed_out = None
                tracker.offer(address, port, secret)
        if is_busy:
            continue
        if tracker.is_pending(secret):
            handed_out = None
        elif handed_out is None:
            handed_out = time.monotonic()
        elif time.monotonic() - handed_out > _UNUSED_S:
            handed_out = None
            tracker.offer(address, port, secret)
