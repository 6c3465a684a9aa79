"""A process of ours that answers lines of JSON with lines of JSON, and may crash or hang without harm."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.store.rows import Outcome

START_PATIENCE_S = 120.0


class WorkerProcess:
    """Starts `command` when it is first needed, and again when it has ended; its stderr goes to the file `log`.

    Its first message has `ready`. With `pinned`, it runs on one CPU, the last of those that this process may use.
    """

    def __init__(self, command: Sequence[str], log: Path, *, pinned: bool = False) -> None:
        self._command = command
        self._log = log
        self._pinned = pinned
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._silent = True

    @property
    def pid(self) -> int | None:
        """The number of the process while there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it unless it runs; raises DeviceError when it cannot be started."""
        if self._process is not None:
            return
        self._buffer, self._silent = b"", True
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TVM_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # an interruption at the terminal is for us
            )
        if self._pinned:
            os.sched_setaffinity(self._process.pid, [max(os.sched_getaffinity(0))])
        if "ready" not in self.hear(START_PATIENCE_S):
            _, how = self.end()
            raise DeviceError(f"kernels cannot be measured: the process {how}: {self.last_words()}")

    def last_words(self) -> str:
        """The last line that it has written to stderr."""
        words = self._log.read_text(errors="replace").strip().splitlines()
        return words[-1][:500] if words else "no message"

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; that nobody is there to hear it shows when hearing the answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def hear(self, patience_s: float) -> dict[str, Any]:
        """The next message; empty when the process has ended or says nothing in that time."""
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._buffer:
            if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
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

    def end(self) -> tuple[Outcome, str]:
        """End it; returns whether it had crashed or hung, in words too."""
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
