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
from math import inf
from pathlib import Path
from statistics import median

from nascompiler.backends.cache import cache_folder
from nascompiler.backends.host import detect_host
from nascompiler.backends.measure.priority import Waits

LIMIT = 1.15
"""The loop may take so many times its best: slow states were found at 1.25 and above, full speed at up to 1.1."""

RISE_PER_S = 0.0002
"""Clocks change with the temperature of the room and the load of a rack: a best time that is not reached again counts
for less, by so much a second, until what is reached is the best again. Slow states were seen to last for
minutes, so that this takes a quarter of an hour."""

_STEPS = 600
_TRIES = 5
_PAUSE_S = 0.01
_FIRST_LOOKS = 20
_IN_A_ROW_NS = 300_000
_KEEP_EVERY_S = 1.0


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
    """Tells quiet moments from others.

    The loop's best time is known to other processes too, by the file `path` (default: one in the cache folder).
    """

    probe: Callable[[], float] = probe_ns
    path: Path | None = None
    waits: Waits = field(default_factory=Waits)
    clock: Callable[[], float] = time.time
    _best_ns: float = field(default=inf, init=False)
    _reached_at: float = field(default=0.0, init=False)
    _kept_at: float = field(default=-inf, init=False)
    _told_ns: float = field(default=inf, init=False)

    def __post_init__(self) -> None:
        self._best_ns, self._reached_at = self._kept()
        for _ in range(_FIRST_LOOKS):
            self.now()

    @property
    def best_ns(self) -> float:
        """The time that the loop takes at full speed, as far as is known."""
        return self._best_ns * (1 + RISE_PER_S * max(0.0, self.clock() - self._reached_at))

    def now(self) -> bool:
        """Whether the processor runs at full speed."""
        taken = self.probe()
        best = self.best_ns
        if taken <= best:
            self._best_ns, self._reached_at = taken, self.clock()
            self._keep()
        return taken <= LIMIT * best

    def wait(self, until: float) -> bool:
        """Wait for a quiet moment, at most until that time of `time.monotonic()`; whether there was one."""
        while not self.now():
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_S)
        return True

    def _file(self) -> Path:
        return self.path or cache_folder() / "quiet.json"

    def _kept(self) -> tuple[float, float]:
        """The best time that was kept, and when it was reached."""
        with suppress(OSError, ValueError, KeyError, TypeError):  # a file that cannot be used says nothing
            kept = json.loads(self._file().read_text())
            if kept["processor"] == detect_host().model and kept["at"] <= self.clock():
                return float(kept["best_ns"]), float(kept["at"])
        return inf, 0.0

    def _keep(self) -> None:
        """Tell other processes, but no news of less than 1 % more than once a second."""
        if self._reached_at - self._kept_at < _KEEP_EVERY_S and self._best_ns > 0.99 * self._told_ns:
            return
        self._kept_at, self._told_ns = self._reached_at, self._best_ns
        known = {"processor": detect_host().model, "at": self._reached_at, "best_ns": self._best_ns}
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

    Short runs come several in a row, as in use: each would find the caches full of the loop otherwise. After
    `patience_s` disturbed runs are taken for want of better ones.
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
        taken: list[float] = []
        while sum(taken) < _IN_A_ROW_NS:
            start = clock()
            step()
            taken.append(float(clock() - start))
        alone = not quiet.waits.since(before)
        (times if quiet.now() and alone else others).extend(taken)
    enough = len(times) >= fewest
    return (times if enough else [*times, *others]), not enough
