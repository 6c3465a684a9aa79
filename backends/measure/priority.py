"""Going before other processes while timing, and knowing when one has been let in all the same."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NEGLIGIBLE_NS = 1000


@contextmanager
def first_in_line() -> Iterator[bool]:
    """For the `with` block, no ordinary process takes the CPU from this thread; yields whether that is allowed here.

    By the system's real-time class, not by `nice`: Linux shares a CPU among sessions whatever the nice of their
    processes. To be used for seconds at a time, on one of several CPUs.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    allowed = False
    if (os.cpu_count() or 1) > 1:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_min(os.SCHED_FIFO)))
            allowed = True
    try:
        yield allowed
    finally:
        if allowed:
            os.sched_setscheduler(0, *before)


@contextmanager
def on_one_cpu() -> Iterator[None]:
    """For the `with` block, this thread stays on the last of the CPUs it may use, where all measurements are taken."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Waits:
    """How long this thread has been ready to run and was not let, as the system counts it."""

    def __init__(self) -> None:
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._handle = os.open(path, os.O_RDONLY) if path.exists() else None

    def ns(self) -> int:
        """Since the thread began; 0 where the system does not tell."""
        if self._handle is None:
            return 0
        return int(os.pread(self._handle, 128, 0).split()[1])

    def since(self, before: int) -> bool:
        """Whether the thread has waited since `ns` was `before`."""
        return self.ns() - before > _NEGLIGIBLE_NS

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            os.close(self._handle)  # type: ignore[arg-type]  # not None
