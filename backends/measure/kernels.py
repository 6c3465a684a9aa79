"""Kernel calls measured in another process, so that a crash or a hang is a result and not the end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.measure.interleaved import PATIENCE
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store.rows import Outcome, Row, Tuning
from nascompiler.backends.target import Target
from nascompiler.ir.files import save
from nascompiler.ir.graph import Graph

WORKER = (sys.executable, "-m", "nascompiler.backends.tvm_adapter.kernel_worker")

PATIENCE_S = 120.0
"""How long a worker may be silent beyond the time that it was given to measure, quiet moments waited for included."""

WAITING = "wait for the device"
"""The stage in which a worker may be silent for as long as others measure."""


class KernelMeasurer:
    """Measures the calls of a graph whose kernels are assigned, on one CPU; to be used in a `with` block.

    `command` is what to start as `kernel_worker`.
    """

    def __init__(
        self, graph: Graph, target: Target, *, command: Sequence[str] = WORKER, patience_s: float = PATIENCE_S
    ) -> None:
        self._target = target
        self._command = command
        self._patience_s = patience_s
        self._folder = tempfile.TemporaryDirectory(prefix="nascompiler-tune-")
        self._graph = Path(self._folder.name) / "graph.nir"
        self._log = Path(self._folder.name) / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        save(graph, self._graph)

    def __enter__(self) -> KernelMeasurer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._folder.cleanup()

    def measure(self, call: str, seconds: float, skip: Collection[str] = ()) -> Tuning:
        """Every variant of a call but those to `skip`, timed in turns for about `seconds` in all; failures are rows.

        Raises DeviceError when no worker can be started.
        """
        failures: dict[str, Row] = {}
        while True:
            self._start()
            self._say({"call": call, "skip": [*skip, *failures], "seconds": seconds})
            stage = variant = ""
            while True:
                message = self._hear(inf if stage == WAITING else seconds * PATIENCE + self._patience_s)
                if "at" in message:
                    stage, variant = message["at"], message["variant"]
                elif "failed" in message:
                    outcome = Outcome(message["outcome"])
                    failures[message["failed"]] = Row(message["failed"], outcome, detail=message["detail"])
                elif "rows" in message:
                    rows = (*(Row(**row) for row in message["rows"]), *failures.values())
                    return Tuning(rows, message["noise"], Kind.MEASURED, True)
                else:
                    break
            lost, how = self._end()
            failures[variant] = Row(variant, lost, detail=f"{how} at the stage {stage!r}: {self._last_words()}")
            if stage not in ("compile", "check"):  # nothing to blame on a single variant
                return Tuning(tuple(failures.values()), 0.0, Kind.MEASURED, True)

    def _start(self) -> None:
        if self._process is not None:
            return
        self._buffer, self._silent = b"", True
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, str(self._graph), str(self._target)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TVM_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # an interruption at the terminal is for us
            )
        os.sched_setaffinity(self._process.pid, [max(os.sched_getaffinity(0))])
        if "ready" not in self._hear(PATIENCE_S):
            _, how = self._end()
            raise DeviceError(f"kernels cannot be measured: the process {how}: {self._last_words()}")

    def _last_words(self) -> str:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return words[-1][:500] if words else "no message"

    def _say(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died: hearing from it will tell
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _hear(self, patience_s: float) -> dict[str, Any]:
        """The next message; empty when the process has ended or says nothing in that time."""
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._buffer:
            left = None if deadline == inf else max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                self._silent = True
                return {}
            received = os.read(self._process.stdout.fileno(), 1 << 16)
            if not received:
                self._silent = False
                return {}
            self._buffer += received
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _end(self) -> tuple[Outcome, str]:
        """End the worker; returns whether it had crashed or hung, in words too."""
        process, self._process = self._process, None
        if process is None:
            return Outcome.CRASH, "has not started"
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0 if self._silent else 10)  # its pipe has closed: it is about to end
        code = process.poll()
        if code is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        if code is None:
            return Outcome.TIME_OUT, "was silent for too long"
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Outcome.CRASH, ended
