"""Workers measured in turns: bursts in rotating order, everybody else stopped meanwhile.

So drift of the machine hits all alike, and no spinning thread pool of one disturbs the turn of another.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from nascompiler.backends.errors import DeviceError

LOAD_TIMEOUT_S = 600.0
REPLY_TIMEOUT_S = 300.0
MAX_LOST = 0.05
"""A burst in which other processes took more than this share of our time is dropped."""


@dataclass
class Worker:
    """A benchmark process that speaks `nascompiler.bench.protocol`."""

    name: str
    command: Sequence[str]
    threads: int
    log: IO[bytes] | int = subprocess.DEVNULL
    samples_ms: list[float] = field(default_factory=list)
    dropped: int = 0
    runs: int = 3
    hello: Mapping[str, Any] = field(default_factory=dict)
    _watched: bool = field(default=False, init=False)

    def start(self) -> None:
        """Start and wait until ready; raises DeviceError with the worker's own words when it cannot serve."""
        threads = str(self.threads)
        pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TVM_NUM_THREADS")
        self._buffer = b""
        self._process = subprocess.Popen(
            list(self.command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **dict.fromkeys(pools, threads)},
            start_new_session=True,
        )
        self.hello = self._read("ready", LOAD_TIMEOUT_S)
        if not self.hello["ready"]:
            raise DeviceError(f"{self.name}: {self.hello.get('note')}")

    def pin(self, cpus: Collection[int]) -> None:
        """Keep every thread of the process on these CPUs."""
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            with suppress(ProcessLookupError):  # the thread has ended
                os.sched_setaffinity(int(task.name), cpus)

    def prioritise(self, nice: int) -> None:
        """Give the process this priority, -20 to 19; raises DeviceError where that is not allowed."""
        try:
            for task in Path(f"/proc/{self._process.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(task.name), nice)
            group = Path(f"/proc/{self._process.pid}/autogroup")
            if group.exists():  # sessions share the CPU by the nice of their group, whatever that of their processes
                group.write_text(str(nice), encoding="ascii")
        except OSError as error:
            raise DeviceError(f"{self.name}: cannot run at priority {nice}: {error.strerror}") from None

    def ask(self, command: str, answer: str, *, timeout_s: float = REPLY_TIMEOUT_S) -> Any:
        """Send a command while running, and return the reply, which has the key `answer`."""
        self.tell(command)
        return self._read(answer, timeout_s)

    def tell(self, command: str) -> None:
        """Send a command that has no reply."""
        stdin = self._process.stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # reading says how it ended
            stdin.write(f"{command}\n".encode())
            stdin.flush()

    def burst(self, warm: int) -> tuple[list[float], float]:
        """(latencies in ms, share of the time that other processes took from us)"""
        self.resume()
        ran, waited, at = self._schedule()
        samples: list[float] = self.ask(f"run {warm} {self.runs}", "ms")["ms"]
        ran_after, waited_after, now = self._schedule()
        self.stop()
        span = now - at
        # a stranger on our CPU makes us wait and not run; threads of our own that take turns only make us wait
        return samples, min(waited_after - waited, max(0.0, span - (ran_after - ran))) / span

    def watch_memory(self) -> None:
        """From now on `peak_bytes` counts: what loading needed beyond serving is forgotten."""
        with suppress(OSError):  # not on every system: then there is no figure
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", encoding="ascii")
            self._watched = True

    def peak_bytes(self) -> int | None:
        """The most memory held (resident) since `watch_memory`, above what the process held before it loaded anything;
        None where the system does not tell."""
        if not self._watched:
            return None
        for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 - int(self.hello.get("start_bytes", 0))
        return None

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """End the process, whatever it is doing; safe to call twice or before the start."""
        process = getattr(self, "_process", None)
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # a command that it did not live to read
                    pipe.close()

    def _read(self, key: str, timeout_s: float) -> Mapping[str, Any]:
        deadline = time.monotonic() + timeout_s
        stdout = self._process.stdout
        assert stdout is not None
        while True:
            while b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                if isinstance(message, dict) and key in message:
                    return message
            if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise DeviceError(f"{self.name}: no answer within {timeout_s:.0f} s")
            received = os.read(stdout.fileno(), 1 << 16)
            if not received:
                raise DeviceError(f"{self.name}: its process ended with exit code {self._process.wait()}")
            self._buffer += received

    def _schedule(self) -> tuple[float, float, float]:
        """Seconds that the worker's threads have run and have waited for a CPU, and the time now."""
        ran = waited = 0.0
        for thread in Path(f"/proc/{self._process.pid}/task").glob("*/schedstat"):
            try:
                running, waiting, _ = map(int, thread.read_text().split())
            except (OSError, ValueError):  # the thread has ended
                continue
            ran, waited = ran + running / 1e9, waited + waiting / 1e9
        return ran, waited, time.perf_counter()


def measure_in_turns(
    workers: Sequence[Worker],
    *,
    rounds: int,
    burst_ms: float,
    min_runs: int = 3,
    after_round: Callable[[], None] = lambda: None,
    on_failure: Callable[[Worker, DeviceError], None] | None = None,
) -> None:
    """Fill `samples_ms` of started and stopped workers, and call `after_round` after each round with all stopped again.

    A first round, which does not count, sizes the bursts. A worker that fails raises DeviceError; with `on_failure` it
    is reported there and leaves, and the others go on.
    """
    going = list(workers)

    def burst(worker: Worker, warm: int) -> tuple[list[float], float] | None:
        try:
            return worker.burst(warm)
        except DeviceError as error:
            if on_failure is None:
                raise
            on_failure(worker, error)
            going.remove(worker)
            return None

    for worker in list(going):
        worker.runs = 2
        if taken := burst(worker, warm=1):
            worker.runs = int(min(500, max(min_runs, burst_ms / max(taken[0][-1], 1e-3))))
    for turn in range(rounds):
        at = turn % max(1, len(going))
        for worker in [*going[at:], *going[:at]]:
            taken = burst(worker, warm=2)
            if taken is None:
                continue
            samples, lost = taken
            # with nothing kept so far, the last rounds keep even disturbed bursts: a noisy figure beats none
            if lost < MAX_LOST or (not worker.samples_ms and turn >= rounds - 2):
                worker.samples_ms += samples
            if lost >= MAX_LOST:
                worker.dropped += 1
        after_round()
