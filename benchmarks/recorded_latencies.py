"""Measures every architecture of the recorded benchmark end to end on this machine, once, in random order.

    python -m benchmarks.recorded_latencies LATENCIES.csv [--space mnasnet-glyphs] [--together 192] [--processes 2]

Each process compiles some networks and then times them in turns, under the lease of the machine, so that compiling in
one goes on while another measures. Among them is always the same one, the first of the space: where a machine changes
its speed from minute to minute, its latency in the same rounds (`anchor_ns`) and the ratio to it (`ratio`, the median
over rounds) hold what latencies do not. A second run goes on where the first one ended. Networks without a single quiet
round are measured again.
"""

from __future__ import annotations

import argparse
import csv
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median

from nascompiler import spaces
from nascompiler.backends.target import parse_target
from nascompiler.search.latency.end_to_end import NetworkTimer
from nascompiler.spaces import SearchSpace, Vector

COLUMNS = ("vector", "latency_ns", "spread_ns", "runs", "quiet_rounds", "rounds", "anchor_ns", "ratio")

ANCHOR = "anchor"

ROUNDS, SECONDS, PATIENCE_S = 4, 0.012, 0.06
"""Networks of well below a millisecond: a round is a hundred runs."""


class Recording:
    """The file of rows, and the architectures that it lacks."""

    def __init__(self, space: SearchSpace, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        known = set()
        if path.exists():
            with path.open(newline="") as file:
                known = {row["vector"] for row in csv.DictReader(file)}
        else:
            path.write_text(",".join(COLUMNS) + "\n")
        vectors = [space.encode(decisions) for decisions in space.enumerate()]
        random.Random(7).shuffle(vectors)
        self.todo = deque(vector for vector in vectors if text(vector) not in known)

    def take(self, count: int) -> list[Vector]:
        with self._lock:
            return [self.todo.popleft() for _ in range(min(count, len(self.todo)))]

    def add(self, rows: Sequence[Sequence[object]], again: Sequence[Vector]) -> None:
        with self._lock:
            with self._path.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
            self.todo.extend(again)


def text(vector: Vector) -> str:
    """A vector as its digits."""
    return "".join(map(str, vector))


def measure(
    space: SearchSpace,
    recording: Recording,
    together: int,
    *,
    alone: Callable[[], AbstractContextManager[object]] = nullcontext,
    until: float = float("inf"),
) -> None:
    """Work on a recording until nothing is left; `alone` is entered around each measurement."""
    with NetworkTimer(parse_target("cpu")) as timer:
        timer.prepare(ANCHOR, space.architecture(next(space.enumerate())))
        while time.monotonic() < until and (batch := recording.take(together)):
            names = {text(vector): vector for vector in batch}
            began = time.monotonic()
            for name, vector in names.items():
                timer.prepare(name, space.architecture(vector))
            compiled = time.monotonic()
            with alone():
                entered = time.monotonic()
                found = timer.measure([ANCHOR, *names], rounds=ROUNDS, seconds=SECONDS, patience_s=PATIENCE_S)
            rows, again = [], []
            anchor = found.pop(ANCHOR)
            for name, timed in found.items():
                if timed.is_disturbed:
                    again.append(names[name])
                else:
                    latency = timed.latency
                    quiet = sum(not lost for lost in timed.disturbed)
                    ratio = median(a / b for a, b in zip(timed.round_medians, anchor.round_medians, strict=True))
                    figures = [round(latency.ns), round(latency.spread_ns), latency.repeats, quiet, ROUNDS]
                    rows.append([name, *figures, round(anchor.latency.ns), f"{ratio:.4f}"])
                timer.forget(name)
            recording.add(rows, again)
            print(
                f"{len(recording.todo)} left; {len(rows)} measured, {len(again)} again; compiled in "
                f"{compiled - began:.0f} s, waited {entered - compiled:.0f} s, {time.monotonic() - entered:.0f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--space", default="mnasnet-glyphs")
    parser.add_argument("--together", type=int, default=192)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    space = spaces.load(options.space)
    recording = Recording(space, options.output)
    threads = [
        threading.Thread(target=measure, args=(space, recording, options.together)) for _ in range(options.processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
