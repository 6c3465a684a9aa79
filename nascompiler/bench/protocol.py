"""The lines that a benchmark worker and its parent exchange.

    worker -> {"ready": true, "version": ..., "note": ..., "cold_ns": ..., "load_ns": ...,
               "start_bytes": ...}
    parent -> run W N        worker -> {"ms": [N latencies in ms]}     after W runs that do not count
    parent -> profile N      worker -> {"layers": [{name, op, ns, macs, bytes, weight_bytes, kernel}, ...],
                                        "runs_ns": [[ns, ...], ... N times]}
    parent -> probe          worker -> what the machine can do at most, as `Probes.take` measures it
    parent -> quit

`start_bytes` is the memory that the process held (resident) before it loaded anything to be measured.
A worker that cannot serve answers {"ready": false, "note": "why"}. `run` and `quit` are what other harnesses speak too;
`profile` is ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TextIO

from nascompiler.backends.measure.latency import LayerTime


class Runner(Protocol):
    """A loaded network that can be run again and again on the inputs it was given."""

    version: str
    note: str

    def step(self) -> None:
        """One inference, on inputs that are already in the runtime's own memory."""

    def profile(self, runs: int) -> tuple[Sequence[LayerTime], Sequence[Sequence[float]]]:
        """The layers of the last run, and the ns of each for each of `runs` runs."""

    def probe(self) -> Mapping[str, Any]:
        """What the machine can do at most right now; empty for runtimes that are not ours."""


def take_stdout() -> TextIO:
    """The worker's line to its parent; from now on, whatever a library prints to stdout goes to stderr."""
    wire = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return wire


def serve(make: Callable[[], Runner], wire: TextIO, commands: TextIO | None = None) -> None:
    """Make a runner, then answer commands until told to quit; failures to make it are reported, not raised."""

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=wire, flush=True)

    start_bytes = resident_bytes()
    start = time.perf_counter_ns()
    try:
        runner = make()
        loaded = time.perf_counter_ns()
        runner.step()
        cold = time.perf_counter_ns() - loaded
    except Exception as error:
        say({"ready": False, "note": f"{type(error).__name__}: {error}"[:2000]})
        return
    say(
        {
            "ready": True,
            "version": runner.version,
            "note": runner.note,
            "cold_ns": cold,
            "load_ns": loaded - start,
            "start_bytes": start_bytes,
        }
    )
    for line in commands if commands is not None else sys.stdin:
        words = line.split()
        if not words or words[0] == "quit":
            break
        if words[0] == "run":
            say({"ms": timed_runs(runner.step, int(words[1]), int(words[2]))})
        elif words[0] == "profile":
            timed_runs(runner.step, 2, 0)
            layers, runs = runner.profile(int(words[1]))
            say({"layers": [asdict(layer) for layer in layers], "runs_ns": [list(r) for r in runs]})
        elif words[0] == "probe":
            say({"probe": dict(runner.probe())})
        else:
            say({"error": f"unknown command {words[0]!r}"})


def resident_bytes() -> int:
    """The memory that this process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def timed_runs(step: Callable[[], None], warm: int, runs: int) -> list[float]:
    """Latencies in ms of `runs` calls after `warm` calls that do not count."""
    clock = time.perf_counter_ns
    for _ in range(warm):
        step()
    latencies = []
    for _ in range(runs):
        start = clock()
        step()
        latencies.append((clock() - start) / 1e6)
    return latencies
