"""A session with a device by TVM's RPC: what each request may take, and what became of those that failed."""

from __future__ import annotations

import gc
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tvm
from tvm import rpc

from nascompiler.backends.errors import DeviceError, DeviceLostError, DeviceTimeOutError
from nascompiler.ir.types import Array

Result = TypeVar("Result")

CONNECT_PATIENCE_S = 30.0

_KEY_MISMATCH = re.compile("mismatch|cannot find server that matches key", re.IGNORECASE)


class Session:
    """A connection to a server: files, modules and arrays there.

    `interrupt` ends what waits for the device, and `fault` says why the connection is gone, when it can; both are the
    business of who has started the device. `name` is for messages.
    """

    def __init__(
        self,
        connection: Any,
        name: str,
        *,
        interrupt: Callable[[], None],
        fault: Callable[[], DeviceError | None] = lambda: None,
    ) -> None:
        self.name = name
        self._connection = connection
        self._interrupt, self._fault = interrupt, fault
        self.device = connection.cpu(0)
        self.is_lost = False

    def request(self, purpose: str, patience_s: float, work: Callable[[], Result]) -> Result:
        """What `work` returns, which talks to the device.

        Raises DeviceTimeOutError when that takes longer than `patience_s`, DeviceCrashError and DeviceLostError when
        the device has gone, after which the session is of no use, and DeviceError for what it refuses.
        """
        if self.is_lost:
            raise DeviceLostError(f"{self.name} is gone since an earlier failure")
        expired = threading.Event()

        def give_up() -> None:
            expired.set()
            self._interrupt()

        timer = threading.Timer(patience_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            return work()
        except (tvm.error.InternalError, RuntimeError, OSError, ValueError, AttributeError, TypeError) as error:
            raise self._failure(purpose, patience_s, error, expired.is_set()) from None
        finally:
            timer.cancel()

    def _failure(self, purpose: str, patience_s: float, error: Exception, expired: bool) -> DeviceError:
        words = str(error).strip()
        if expired:
            self.is_lost = True
            return DeviceTimeOutError(f"{purpose} has taken more than {patience_s:g} s on {self.name}")
        gone = self._fault()
        if gone is not None:
            self.is_lost = True
            return gone
        if _is_broken(words):
            self.is_lost = True
            return DeviceLostError(f"{purpose}: the connection to {self.name} is gone: {_last_line(words)}")
        return DeviceError(f"{purpose} has failed on {self.name}: {_last_line(words)}")

    def upload(self, path: Path, patience_s: float) -> None:
        """Send a file; it keeps its name."""
        self.request("sending a file", patience_s, lambda: self._connection.upload(str(path)))

    def load_module(self, name: str, patience_s: float) -> Any:
        """Load a library that was sent."""
        return self.request(f"loading {name}", patience_s, lambda: self._connection.load_module(name))

    def array(self, content: Array, patience_s: float) -> Any:
        """A copy of an array on the device."""
        made = np.ascontiguousarray(content)
        return self.request("sending an array", patience_s, lambda: tvm.runtime.tensor(made, self.device))

    def function(self, name: str) -> Any:
        """A function of the server; raises DeviceError when it has none of that name."""
        return self.request(
            f"looking for the function {name}", CONNECT_PATIENCE_S, lambda: self._connection.get_function(name)
        )

    def close(self) -> None:
        """Let go of the connection, which ends the session on the device.

        TVM's session ends with the last object that is of it; some of those hold each other, and would end later.
        """
        self.is_lost = True
        self._connection = self.device = None
        gc.collect()


def connect_to_server(host: str, port: int, key: str, seconds: float, *, probe: bool = True) -> tuple[Any, Any]:
    """A connection to a server that ends it after so many seconds, and what interrupts it.

    Raises DeviceLostError when nobody answers or somebody that is no server of TVM's, and for a wrong key.
    """
    if probe:
        _reach(host, port)
    return _connected(f"{host}:{port}", lambda: rpc.connect(host, port, key, session_timeout=seconds))


def connect_by_tracker(host: str, port: int, key: str, seconds: float, patience_s: float) -> tuple[Any, Any]:
    """A connection to a server that a tracker knows by its key, as soon as one is free; as `connect_to_server`."""
    _reach(host, port)

    def request() -> Any:
        tracker = rpc.connect_tracker(host, port)
        known = tracker.summary()["queue_info"]
        if key not in known:
            raise DeviceLostError(f"the tracker {host}:{port} knows no device {key!r}; it knows {_names(known)}")
        return tracker.request(key, session_timeout=seconds, max_retry=1)

    return _connected(f"{key} of the tracker {host}:{port}", request, patience_s)


def tracked_devices(host: str, port: int) -> list[tuple[str, int, int]]:
    """The devices that a tracker knows: key, how many are free, how many requests wait."""
    _reach(host, port)
    try:
        known = rpc.connect_tracker(host, port).summary()["queue_info"]
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise DeviceLostError(f"{host}:{port} does not answer as a tracker of TVM does: {error}") from None
    return [(key, int(entry.get("free", 0)), int(entry.get("pending", 0))) for key, entry in sorted(known.items())]


def _names(known: Mapping[str, Any]) -> str:
    return ", ".join(sorted(known)) or "none"


def _connected(
    name: str, connect: Callable[[], Any], patience_s: float | None = None
) -> tuple[Any, Callable[[], None]]:
    patience_s = CONNECT_PATIENCE_S if patience_s is None else patience_s
    before = set(_sockets())
    expired = threading.Event()

    def give_up() -> None:
        expired.set()
        _shut(set(_sockets()) - before)

    timer = threading.Timer(patience_s, give_up)
    timer.daemon = True
    timer.start()
    try:
        connection = connect()
    except (tvm.error.InternalError, RuntimeError, OSError, ValueError) as error:
        if expired.is_set():
            raise DeviceTimeOutError(f"{name} has not answered in {patience_s:g} s") from None
        words = str(error)
        if _KEY_MISMATCH.search(words):
            raise DeviceError(f"{name} refuses the key that was given") from None
        raise DeviceLostError(f"{name} does not answer as a server of TVM's RPC does: {_last_line(words)}") from None
    finally:
        timer.cancel()
    opened = set(_sockets()) - before
    return connection, lambda: _shut(opened)


def _reach(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=CONNECT_PATIENCE_S).close()
    except OSError as error:
        raise DeviceLostError(f"there is no device at {host}:{port}: {error.strerror or error}") from None


def _sockets() -> list[tuple[int, str]]:
    """Number and identity of each socket of this process."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("socket:"):
                found.append((int(name), target))
    return found


def _shut(sockets: set[tuple[int, str]]) -> None:
    """Shut connections down: TVM owns them, and what it waits for ends."""
    for number, identity in sockets:
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}") == identity:
                with socket.socket(fileno=os.dup(number)) as copy:
                    copy.shutdown(socket.SHUT_RDWR)


def _is_broken(words: str) -> bool:
    signs = ("closed", "reset by peer", "Broken pipe", "Socket", "shutdown", "RPCCode::k")
    return any(sign in words for sign in signs)


def _last_line(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return (lines[-1] if lines else "no message")[:500]
