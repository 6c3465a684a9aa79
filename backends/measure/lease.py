"""The lease of a device: one measurement at a time, and no work beside it, across all processes of a user.

A lease is a lock of the system on a file, so it ends with the process that holds it, however that ends. Work that
would disturb a measurement (a step of training) shares the device instead: any number of processes may at once, and
each waits while somebody measures or wants to. So training in one process never lengthens a latency that another
takes, and a measurement waits for no more than the steps under way.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nascompiler.backends.errors import DeviceError

VARIABLE = "NASCOMPILER_LEASES"

HOST = "cpu"
"""The device that this machine is."""

_POLL_S = 0.02
_PATIENCE_BEFORE_A_WORD_S = 5.0

_held = threading.local()
_inherited: set[int] = set()


def lease_folder() -> Path:
    """`$NASCOMPILER_LEASES`, or a folder of the user's among the temporary files: the same for all of their caches."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path(tempfile.gettempdir()) / f"nascompiler-{os.getuid()}" / "leases"


@contextmanager
def device_lease(
    device: str = HOST,
    *,
    purpose: str = "",
    patience_s: float | None = None,
    on_wait: Callable[[str], None] = lambda holder: None,
) -> Iterator[None]:
    """Have the device alone for the `with` block; within it the same thread may take it again.

    Waits for as long as it takes, or raises DeviceError after `patience_s`, naming who has the device; `on_wait` is
    told who has it when that takes a while.
    """
    depth: dict[str, int] = _held.__dict__.setdefault("depth", {})
    if depth.get(device):
        depth[device] += 1
        try:
            yield
        finally:
            depth[device] -= 1
        return
    if device in _held.__dict__.get("shared", ()):
        raise DeviceError(f"{device} cannot be measured from within work that shares it")
    with ExitStack() as stack:
        deadline = None if patience_s is None else time.monotonic() + patience_s
        # Whoever holds the gate is the next to measure: those who share pass it first, and so cannot starve it.
        stack.enter_context(_locked(device, "gate", fcntl.LOCK_EX, deadline, on_wait))
        handle = stack.enter_context(_locked(device, "device", fcntl.LOCK_EX, deadline, on_wait))
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()}{f' ({purpose})' if purpose else ''}".encode(), 0)
        depth[device] = 1
        try:
            yield
        finally:
            depth[device] = 0
            os.ftruncate(handle, 0)


@contextmanager
def device_shared(device: str = HOST) -> Iterator[None]:
    """Work on the device beside others for the `with` block, which should take less than a second or so.

    Does nothing inside a lease or another shared block of the same thread.
    """
    shared: set[str] = _held.__dict__.setdefault("shared", set())
    if device in shared or _held.__dict__.get("depth", {}).get(device):
        yield
        return
    with _locked(device, "gate", fcntl.LOCK_SH, None):
        pass
    with _locked(device, "device", fcntl.LOCK_SH, None):
        shared.add(device)
        try:
            yield
        finally:
            shared.discard(device)


def lease_holder(device: str = HOST) -> str | None:
    """Who measures on the device right now, or None."""
    try:
        text = _path(device, "device").read_text(errors="replace")
    except OSError:
        return None
    with open(_path(device, "device"), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return text or "another process"
    return None  # the holder was killed before it could take its name off


@contextmanager
def _locked(
    device: str,
    part: str,
    how: int,
    deadline: float | None,
    on_wait: Callable[[str], None] = lambda holder: None,
) -> Iterator[int]:
    path = _path(device, part)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DeviceError(
            f"cannot lease {device}: {path}: {error.strerror or error}; ${VARIABLE} names another folder"
        ) from None
    _inherited.add(handle)
    try:
        began = time.monotonic()
        told = False
        if deadline is None and how == fcntl.LOCK_SH:
            fcntl.flock(handle, how)
        else:
            while not _try(handle, how):
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    raise DeviceError(f"{device} is in use by {lease_holder(device) or 'others'}")
                if not told and now - began >= _PATIENCE_BEFORE_A_WORD_S:
                    told = True
                    on_wait(lease_holder(device) or "others")
                time.sleep(_POLL_S)
        yield handle
    finally:
        _inherited.discard(handle)
        os.close(handle)


def _try(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(device: str, part: str) -> Path:
    return lease_folder() / f"{re.sub(r'[^A-Za-z0-9.-]', '_', device)}.{part}"


def _forget() -> None:
    """In a forked child: its copies of the parent's locks must not outlive the parent."""
    for handle in _inherited:
        os.close(handle)
    _inherited.clear()
    _held.__dict__.clear()


os.register_at_fork(after_in_child=_forget)
