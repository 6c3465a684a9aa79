"""Servers by address and by tracker, and those that are none."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from nascompiler.backends.artifact import load_artifact
from nascompiler.backends.cores import find_core
from nascompiler.backends.devices.address import parse_address
from nascompiler.backends.devices.opening import open_session
from nascompiler.backends.devices.serving import Tracker, new_secret, offer_sessions, served
from nascompiler.backends.errors import DeviceError, DeviceLostError, DeviceTimeOutError
from nascompiler.backends.verify_artifact import random_images, verify_artifact
from tests.backends.devices.conftest import Compile

LOOPBACK = "127.0.0.1"


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """A port at which every client gets an answer, or nothing for ever."""
    with socket.create_server((LOOPBACK, 0)) as server:
        kept = []

        def run() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                kept.append(client)
                if answer is not None:
                    client.sendall(answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for client in kept:
            client.close()


class SmallTracker:
    """Enough of TVM's tracker, which needs a package that we do not: devices by key, handed out once."""

    def __init__(self) -> None:
        self.offered: dict[str, list[Any]] = {}
        self.server = socket.create_server((LOOPBACK, 0))
        self.port: int = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client:
            magic = client.recv(4)
            if not magic:
                return
            client.sendall(magic)
            while head := client.recv(4):
                (size,) = struct.unpack("<i", head)
                answer = json.dumps(self._answer(json.loads(client.recv(size, socket.MSG_WAITALL)))).encode()
                client.sendall(struct.pack("<i", len(answer)) + answer)

    def _answer(self, message: list[Any]) -> Any:
        code, *rest = message
        if code == 3:  # put
            key, (port, secret), address = rest
            self.offered.setdefault(key, []).append([address, port, secret])
            return 0
        if code == 4:  # request
            waiting = self.offered.get(rest[0], [])
            return [0, waiting.pop(0)] if waiting else [-1, "none"]
        if code == 6:  # summary
            return [0, {"queue_info": {k: {"free": len(v), "pending": 0} for k, v in self.offered.items()}}]
        if code == 7:  # what was not handed out
            return [secret for waiting in self.offered.values() for _, _, secret in waiting]
        return 0


def test_nobody_there_is_a_lost_device() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
    address = parse_address(f"{LOOPBACK}:{port}")
    with pytest.raises(DeviceLostError, match=f"there is no device at {LOOPBACK}:{port}: Connection refused"):
        with open_session(find_core("arm", "cortex-a72"), address):
            pass


def test_garbage_is_no_server() -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        address = parse_address(f"{LOOPBACK}:{port}")
        with pytest.raises(DeviceLostError, match="does not answer as a server of TVM's RPC does"):
            with open_session(find_core("arm", "cortex-a72"), address):
                pass


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from nascompiler.backends.tvm_adapter import rpc_session

    with listening(None) as port:
        monkeypatch.setattr(rpc_session, "CONNECT_PATIENCE_S", 1.0)
        address = parse_address(f"{LOOPBACK}:{port}")
        with pytest.raises(DeviceTimeOutError, match="has not answered in 1 s"):
            with open_session(find_core("arm", "cortex-a72"), address):
                pass


@pytest.mark.emulated
def test_a_server_by_its_address(artifact_for: Compile) -> None:
    """One session after the other, with the right key only; times are what the device's clock says."""
    core = find_core("arm", "cortex-a72")
    with served(core, address=LOOPBACK, port=0, key="abc", threads=1) as (port, _):
        with pytest.raises(DeviceError, match="refuses the key that was given"):
            with open_session(core, parse_address(f"{LOOPBACK}:{port}/wrong")):
                pass
        for _ in range(2):
            artifact = load_artifact(artifact_for("cortex-a72"), device=f"{LOOPBACK}:{port}/abc")
            verify_artifact(artifact, random_images(artifact)).check()
            times = artifact.time_steps(3, 1)
            assert len(times) == 3
            assert min(times) > 0
            artifact.close()


@pytest.mark.emulated
def test_a_server_by_a_tracker(artifact_for: Compile) -> None:
    """A device is handed out, and offered again when its session has ended."""
    core = find_core("arm", "cortex-a72")
    with closing(SmallTracker()) as known:
        address = f"tracker:{LOOPBACK}:{known.port}/pi"
        with pytest.raises(DeviceLostError, match="knows no device 'pi'; it knows none"):
            with open_session(core, parse_address(address)):
                pass
        secret = new_secret("pi")
        with served(core, address=LOOPBACK, port=0, key=secret, threads=1) as (port, process):
            tracker = Tracker(LOOPBACK, known.port, "pi")
            notes: list[str] = []
            arguments = (tracker, process, LOOPBACK, port, secret, notes.append)
            offering = threading.Thread(target=offer_sessions, args=arguments)
            offering.start()
            try:
                for session in range(2):
                    while not known.offered.get("pi"):
                        threading.Event().wait(0.05)
                    artifact = load_artifact(artifact_for("cortex-a72"), device=address)
                    verify_artifact(artifact, random_images(artifact)).check()
                    artifact.close()
                    assert f"begin {session}" in notes or session == 1
            finally:
                process.kill()
                offering.join()
                tracker.close()
