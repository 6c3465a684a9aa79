"""A session with a device, whichever provides it: an emulator that is started for it, or a server that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nascompiler.backends.cores import Core
from nascompiler.backends.devices.address import Address
from nascompiler.backends.devices.emulator import EmulatedServer
from nascompiler.backends.errors import DeviceError

if TYPE_CHECKING:
    from nascompiler.backends.tvm_adapter.rpc_session import Session

LONGEST_SESSION_S = 3600.0
"""After so long a server ends a session by itself, so that a client that hangs does not keep a board for itself."""

TRACKER_PATIENCE_S = 600.0
"""How long to wait for a board that others use."""

DESCRIBE = "nascompiler.describe"
"""The function of our server that tells what the device is."""

_HWCAP = {1: "asimd", 8: "atomics", 9: "fphp", 10: "asimdhp", 20: "asimddp", 22: "sve"}
_HWCAP2 = {1: "sve2", 13: "i8mm", 14: "bf16"}
"""Features by bit, of Linux's asm/hwcap.h for arm64, spelled as in /proc/cpuinfo."""


@dataclass(frozen=True)
class Description:
    """What a device says of itself: features, version of tvm-ffi, clock in kHz now and at most (0: not told), governor,
    kernel."""

    features: frozenset[str]
    version: str
    clock_khz: int
    most_khz: int
    governor: str
    system: str


@contextmanager
def open_session(
    core: Core, address: Address, *, threads: int = 1, session_s: float = LONGEST_SESSION_S
) -> Iterator[Session]:
    """A session with a device for a core, of so many seconds at most; an emulator is started for it and ended with it.

    Raises DeviceError when it cannot be had: DeviceLostError where nobody answers, DeviceTimeOutError after waiting.
    """
    from nascompiler.backends.tvm_adapter.rpc_session import Session, connect_by_tracker, connect_to_server

    if not address.is_emulated:
        if address.is_tracker:
            given = (address.host, address.port, address.key, session_s, TRACKER_PATIENCE_S)
            connection, interrupt = connect_by_tracker(*given)
        else:
            connection, interrupt = connect_to_server(address.host, address.port, address.key, session_s)
        session = Session(connection, f"the device {address}", interrupt=interrupt)
        del connection
        try:
            yield session
        finally:
            session.close()
        return
    with EmulatedServer(core, threads=threads) as server:
        connection, _ = connect_to_server("127.0.0.1", server.port, server.key, session_s, probe=False)
        session = Session(connection, f"the emulated {core.name}", interrupt=server.kill, fault=server.fault)
        del connection
        try:
            yield session
        finally:
            session.close()


def describe_device(session: Session) -> Description | None:
    """What a device says of itself; None from a server that is not ours, which cannot be asked."""
    try:
        function = session.function(DESCRIBE)
    except DeviceError:
        if session.is_lost:
            raise
        return None
    return read_description(str(session.request("asking what the device is", 30.0, function)))


def read_description(text: str) -> Description:
    """The description that the server has sent; raises DeviceError for text that is none."""
    first, _, rest = text.partition("\n")
    words = first.split()
    try:
        name, low, high, runtime = words
        bits, more = int(low, 16), int(high, 16)
    except ValueError:
        name = runtime = ""
    if name != "hwcap":
        raise DeviceError(f"the device describes itself as {text[:80]!r}, which cannot be read")
    features = {f for bit, f in _HWCAP.items() if bits >> bit & 1} | {
        f for bit, f in _HWCAP2.items() if more >> bit & 1
    }
    files: dict[str, str] = {}
    for part in rest.split("== ")[1:]:
        path, _, content = part.partition("\n")
        files[path.rpartition("/")[2]] = content.strip()
    return Description(
        frozenset(features),
        runtime,
        _number(files, "scaling_cur_freq"),
        _number(files, "cpuinfo_max_freq"),
        files.get("scaling_governor", ""),
        files.get("version", "").split("(")[0].strip(),
    )


def _number(files: Mapping[str, str], name: str) -> int:
    text = files.get(name, "")
    return int(text) if text.isdigit() else 0
