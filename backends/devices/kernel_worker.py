"""A process that checks and times the variants of kernel calls on a board, as `kernel_worker` does on this machine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from nascompiler.backends.artifact import write_weights
from nascompiler.backends.cpu.choice import Choice
from nascompiler.backends.devices.address import device_of
from nascompiler.backends.devices.opening import open_session
from nascompiler.backends.errors import DeviceCrashError, DeviceError, DeviceLostError, DeviceTimeOutError
from nascompiler.backends.measure.interleaved import measure_interleaved
from nascompiler.backends.store import Outcome
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.build import build_library
from nascompiler.backends.tvm_adapter.kernel_worker import Prepared, Worker, difference, serve
from nascompiler.backends.tvm_adapter.remote_machine import RemoteMachine
from nascompiler.ir.errors import Error
from nascompiler.ir.graph import Graph
from nascompiler.ir.types import Array

RUN_MS = 10
"""Each time is the mean of as many runs as take so long, by the device's clock: the calls of RPC do not count."""

STEP_PATIENCE_S = 60.0
"""A call that takes longer hangs."""


class DeviceWorker(Worker):
    """Answers for the calls of one graph with times on a device, which nobody else uses meanwhile."""

    def __init__(self, graph: Graph, target: Target, wire: TextIO) -> None:
        super().__init__(graph, target, wire)
        assert target.core is not None, target
        self._core = target.core
        self._address = device_of(str(target.options["device"]))
        self._stack = ExitStack()
        self._session: Any = None
        self._connected()

    def measure(
        self,
        call: str,
        skip: Collection[str],
        seconds: float,
        only: Collection[str] | None = None,
        schedules: Mapping[str, str] | None = None,
    ) -> None:
        """Compile, check and time variants of a call. Says `gone` when the device cannot be reached any more."""
        prepared = self.prepare(call)
        ready: dict[str, RemoteMachine] = {}
        with tempfile.TemporaryDirectory(prefix="nascompiler-tune-") as folder:
            for number, (name, choice) in enumerate(self.wanted(prepared, skip, only, schedules).items()):
                try:
                    machine = self._ready(prepared, name, choice, Path(folder) / f"call{number}.so")
                except DeviceLostError as error:
                    self.say(gone=str(error))
                    return
                if machine is not None:
                    ready[name] = machine
                elif ready and any(other.is_lost for other in ready.values()):
                    ready = self._again(prepared, list(ready), Path(folder))
            if not ready:
                self.say(rows=[], noise=0.0)
                return
            default = next(iter(ready))
            self.say(at="measure", variant=default)
            try:
                runs = {name: partial(_mean_ns, machine) for name, machine in ready.items()}
                found = measure_interleaved(runs, default, seconds=seconds)
            except DeviceError as error:
                self.say(gone=str(error))
                return
            finally:
                for machine in ready.values():
                    machine.close()
        rows = [{"variant": name, **asdict(timing)} for name, timing in found.timings.items()]
        self.say(rows=rows, noise=found.noise)

    def _again(self, prepared: Prepared, names: Sequence[str], folder: Path) -> dict[str, RemoteMachine]:
        """Variants that were on the device when another one took it down."""
        found = {}
        for number, (name, choice) in enumerate(self.wanted(prepared, (), names).items()):
            machine = self._ready(prepared, name, choice, folder / f"again{number}.so")
            if machine is not None:
                found[name] = machine
        return found

    def _ready(self, prepared: Prepared, name: str, choice: Choice, library: Path) -> RemoteMachine | None:
        """A variant on the device that computes what the reference evaluation does; None when it fails.

        Raises DeviceLostError when the device has gone.
        """
        compiled = self.compiled(prepared, {name: choice}, library.parent).get(name)
        if compiled is None:
            return None
        self.say(at="check", variant=name)
        try:
            report = build_library(compiled.lowered, self.target, library)
            weights = _weights(compiled.lowered.weights, report.weights, library.with_suffix(".bin"))
            inputs = prepared.memory.inputs
            machine = RemoteMachine(self._connected(), library, weights, inputs, 1, STEP_PATIENCE_S)
            machine.set_inputs(inputs)
            machine.step()
            problem = difference(machine.outputs(), prepared.expected, prepared.tolerances)
        except DeviceTimeOutError as error:
            self.failed(name, Outcome.TIME_OUT, str(error))
            return None
        except DeviceCrashError as error:
            self.failed(name, Outcome.CRASH, str(error))
            return None
        except DeviceLostError as error:
            self._connected()  # raises when the device itself has gone, and not the code taken it down
            self.failed(name, Outcome.CRASH, str(error))
            return None
        except Error as error:
            self.failed(name, Outcome.COMPILE_ERROR, error)
            return None
        if problem:
            machine.close()
            self.failed(name, Outcome.WRONG_RESULT, problem)
            return None
        return machine

    def _connected(self) -> Any:
        """The session with the device, a new one where the last was lost; raises DeviceError where there is none."""
        if self._session is None or self._session.is_lost:
            self._stack.close()
            self._session = self._stack.enter_context(open_session(self._core, self._address))
        return self._session


def _mean_ns(machine: RemoteMachine) -> float:
    return machine.time_steps(1, RUN_MS)[0]


def _weights(weights: Any, alone: Sequence[int], path: Path) -> list[Array]:
    """What a program takes behind its inputs: the blob of all weights, and some by themselves."""
    offsets, size = weights.offsets
    write_weights(weights.arrays, offsets, path)
    blob = np.zeros(size, np.uint8)
    content = np.fromfile(path, np.uint8)
    blob[: len(content)] = content
    return [blob, *(weights.arrays[number] for number in alone)]


if __name__ == "__main__":
    serve(DeviceWorker, sys.argv[1:])
