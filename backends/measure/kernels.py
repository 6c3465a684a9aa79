"""Kernel calls measured in another process, so that a crash or a hang is a result and not the end."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any

from nascompiler.backends.errors import DeviceError
from nascompiler.backends.measure.interleaved import PATIENCE
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.measure.worker_process import WorkerProcess
from nascompiler.backends.store.rows import Outcome, Row, Tuning
from nascompiler.backends.target import Target
from nascompiler.ir.files import save
from nascompiler.ir.graph import Graph

WORKER = (sys.executable, "-m", "nascompiler.backends.tvm_adapter.kernel_worker")

PATIENCE_S = 120.0
"""How long a worker may be silent beyond the time that it was given to measure, quiet moments waited for included."""

PROGRAM_START = "program start"
"""Stands for a call where calls are timed together: what a program takes beside its calls."""

WAITING = "wait for the device"
"""The stage in which a worker may be silent for as long as others measure."""


class KernelMeasurer:
    """Measures the calls of a graph whose kernels are assigned, on one CPU; to be used in a `with` block.

    `command` is what to start as `kernel_worker`.
    """

    def __init__(
        self,
        graph: Graph,
        target: Target,
        *,
        command: Sequence[str] = WORKER,
        patience_s: float = PATIENCE_S,
        pinned: bool = True,
    ) -> None:
        self._patience_s = patience_s
        self._folder = tempfile.TemporaryDirectory(prefix="nascompiler-tune-")
        path = Path(self._folder.name) / "graph.nir"
        save(graph, path)
        self.arguments = (str(path), str(target))
        """What any process that works on these calls is told: a file with the graph, and the target."""
        self._worker = WorkerProcess([*command, *self.arguments], path.with_name("log.txt"), pinned=pinned)

    def __enter__(self) -> KernelMeasurer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker.end()
        self._folder.cleanup()

    @property
    def pid(self) -> int | None:
        """The number of the process that measures, while there is one."""
        return self._worker.pid

    def measure(
        self,
        call: str,
        seconds: float,
        skip: Collection[str] = (),
        *,
        only: Collection[str] | None = None,
        schedules: Mapping[str, str] | None = None,
        patience_s: float | None = None,
    ) -> Tuning:
        """Every variant of a call but those to `skip`, timed in turns for about `seconds` in all; failures are rows.

        `only` limits the variants; `schedules` are more of them, by name, for the definition of the call.
        Raises DeviceError when no worker can be started, and when a board has gone.
        """
        failures: dict[str, Row] = {}
        schedules = schedules or {}
        request = {"call": call, "seconds": seconds, "only": None if only is None else list(only)}
        while True:
            self._worker.start()
            self._worker.say({**request, "skip": [*skip, *failures], "schedules": schedules})
            stage = variant = ""
            while True:
                patience = seconds * PATIENCE + (self._patience_s if patience_s is None else patience_s)
                message = self._worker.hear(inf if stage == WAITING else patience)
                if "at" in message:
                    stage, variant = message["at"], message["variant"]
                elif "failed" in message:
                    outcome = Outcome(message["outcome"])
                    failures[message["failed"]] = Row(message["failed"], outcome, detail=message["detail"])
                elif "gone" in message:
                    raise DeviceError(f"the device cannot be reached any more: {message['gone']}")
                elif "rows" in message:
                    kind = Kind(message.get("kind", Kind.MEASURED.value))
                    timed = [Row(**row, schedule=schedules.get(row["variant"], "")) for row in message["rows"]]
                    return Tuning((*timed, *failures.values()), message["noise"], kind, True)
                else:
                    break
            lost, how = self._worker.end()
            words = f"{how} at the stage {stage!r}: {self._worker.last_words()}"
            failures[variant] = Row(variant, lost, detail=words)
            if stage not in ("compile", "check"):  # nothing to blame on a single variant
                return Tuning(tuple(failures.values()), 0.0, Kind.MEASURED, True)

    def measure_together(self, calls: Mapping[str, str], seconds: float) -> dict[str, dict[str, Any]]:
        """One variant of each of several calls, by key, timed in turns for about `seconds` in all, and PROGRAM_START.

        Returns the fields of rows that this tells, of the calls that could be timed; none after a crash or a hang.
        Raises DeviceError when no worker can be started.
        """
        self._worker.start()
        self._worker.say({"together": dict(calls), "seconds": seconds})
        stage = ""
        while message := self._worker.hear(inf if stage == WAITING else seconds * PATIENCE + self._patience_s):
            if "times" in message:
                times: dict[str, dict[str, Any]] = message["times"]
                return times
            stage = message.get("at", stage)
        self._worker.end()
        return {}
