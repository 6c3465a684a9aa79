"""Whether the processor runs at its full speed right now, by the time of a loop that always takes as long.

A neighbour on the same core, another virtual machine or a throttled clock slow a processor down for seconds at a time
(by 1.3 to 3 times on the machine this was written on), and nothing that the system counts tells of it. So a short loop
is timed before and after each round of a measurement; rounds in which it took longer than at its best do not count.
Nor do those in which another process had the CPU.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.host import detect_host
from nascompiler.backends.measure.priority import Waits

LIMIT = 1.15
"""The loop may take so many times its best: slow states were found at 1.25 and above, full speed at up to 1.1."""

FORGET_S = 3600.0
"""A best time counts for as long: clocks change with the temperature of the room and the load of a rack."""

_STEPS = 600
_TRIES = 5
_PAUSE_S = 0.01


def probe_ns() -> float:
    """The time of the loop in ns, the median of a few tries: about 50 µs in all."""
    clock = time.perf_counter_ns
    times = []
    for _ in range(_TRIES):
        start = clock()
        for _ in range(_STEPS):
            pass
        times.append(clock() - start)
    return median(times)


@dataclass
class Quiet:
    """Tells quiet moments from others. `best_ns` is the loop's least time so far, shared with other processes."""

    probe: Callable[[], float] = probe_ns
    path: Path | None = None
    waits: Waits = field(default_factory=Waits)
    best_ns: float = field(init=False)

    def __post_init__(self) -> None:
        self.best_ns = min(self._kept(), min(self.probe() for _ in range(20)))

    def now(self) -> bool:
        """Whether the processor runs at full speed."""
        taken = self.probe()
        if taken < self.best_ns:
            self.best_ns = taken
            self._keep()
        return taken <= LIMIT * self.best_ns

    def wait(self, until: float) -> bool:
        """Wait for a quiet moment, at most until that time of `time.monotonic()`; whether there was one."""
        while not self.now():
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_S)
        return True

    def _file(self) -> Path:
        return self.path or cache_folder() / "quiet.json"

    def _kept(self) -> float:
        with suppress(OSError, ValueError, KeyError, TypeError):  # a file that cannot be used says nothing
            kept = json.loads(self._file().read_text())
            if kept["processor"] == detect_host().model and 0 <= time.time() - kept["at"] < FORGET_S:
                return float(kept["best_ns"])
        return float("inf")

    def _keep(self) -> None:
        if self.best_ns > self._kept():
            return
        known = {"processor": detect_host().model, "at": time.time(), "best_ns": self.best_ns}
        path = self._file()
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".writing-", delete=False) as file:
                file.write(json.dumps(known))
            os.replace(file.name, path)


def quiet_runs(
    step: Callable[[], None], quiet: Quiet, *, seconds: float, fewest: int, patience_s: float
) -> tuple[list[float], bool]:
    """Times in ns of single runs in quiet moments for about `seconds`, at least `fewest`; and whether there were none.

    After `patience_s` disturbed runs are taken for want of better ones.
    """
    clock = time.perf_counter_ns
    times: list[float] = []
    others: list[float] = []
    began = time.monotonic()
    deadline = began + patience_s
    step()
    while len(times) < fewest or time.monotonic() - began < seconds:
        if not quiet.now():
            if time.monotonic() >= deadline and len(times) + len(others) >= fewest:
                break
            if time.monotonic() < deadline:
                time.sleep(_PAUSE_S)
            step()  # caches have forgotten in the meantime
        before = quiet.waits.ns()
        start = clock()
        step()
        taken = float(clock() - start)
        alone = not quiet.waits.since(before)
        (times if quiet.now() and alone else others).append(taken)
    enough = len(times) >= fewest
    return (times if enough else [*times, *others]), not enough
