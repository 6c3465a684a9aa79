"""A compiled program on a device, with the face of one in this process: inputs, steps, outputs."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from nascompiler.backends.cores import Core
from nascompiler.backends.devices.address import Address
from nascompiler.backends.devices.opening import describe_device, open_session
from nascompiler.backends.errors import DeviceError
from nascompiler.backends.memory import aligned
from nascompiler.ir.errors import UsageError
from nascompiler.ir.types import Array, TensorType

if TYPE_CHECKING:
    from nascompiler.backends.tvm_adapter.remote_machine import RemoteMachine
    from nascompiler.backends.tvm_runtime.program import CallTimes

STEP_PATIENCE_S = 300.0
"""Longer than this no step takes, not even of a large network under an emulator on a busy machine."""


class DeviceProgram:
    """A library with its weights on a device. It is reached with the first step; until then nothing is started.

    `inputs` are arrays to write to; `step` sends them, computes, and fetches `outputs`. `features` are those that the
    code needs: they are compared with what the device says of itself before any code is sent.
    """

    def __init__(
        self,
        library: Path,
        weights: Sequence[Array],
        inputs: Iterable[TensorType],
        *,
        core: Core,
        address: Address,
        features: Iterable[str],
        threads: int = 1,
        patience_s: float = STEP_PATIENCE_S,
    ) -> None:
        if threads > core.cores:
            raise UsageError(f"{threads} threads are asked for; a {core.name} is said to have {core.cores} cores")
        self.core, self.address, self.threads = core, address, threads
        self.inputs: list[Array] = [aligned(t.static_shape, t.dtype) for t in inputs]
        self.outputs: list[Array] = []
        self._library, self._weights, self._patience_s = library, weights, patience_s
        self._features = frozenset(features)
        self._stack = ExitStack()
        self._machine: RemoteMachine | None = None
        weakref.finalize(self, self._stack.close)

    def set_threads(self, threads: int) -> None:
        """Raises UsageError: a session keeps the number that it was opened with."""
        raise UsageError(f"threads of the device {self.address} are set when an artifact is loaded, to {self.threads}")

    def step(self) -> None:
        """Compute the outputs from what stands in `inputs`; raises DeviceError by what has gone wrong."""
        machine = self._reached()
        machine.set_inputs(self.inputs)
        machine.step()
        self.outputs = machine.outputs()

    def timed_step(self, symbols: frozenset[str]) -> CallTimes:
        """What a program of this process can; of one on a device, single calls are not timed: raises UsageError."""
        raise UsageError(f"the calls of a step cannot be timed on {self.address}")

    def time_steps(self, repeats: int, least_ms: int) -> list[float]:
        """Times of one step in ns, each the mean of as many in a row as take `least_ms`; of a board's clock."""
        if self.address.is_emulated:
            raise UsageError("an emulator has no latency: its steps cannot be timed")
        machine = self._reached()
        machine.set_inputs(self.inputs)
        return machine.time_steps(repeats, least_ms)

    def close(self) -> None:
        """Let the device go, and end an emulator; the next step reaches it again."""
        self._machine = None
        self._stack.close()

    def _reached(self) -> RemoteMachine:
        if self._machine is not None and not self._machine.is_lost:
            return self._machine
        from nascompiler.backends.tvm_adapter.remote_machine import RemoteMachine

        self._machine = None
        self._stack.close()
        session = self._stack.enter_context(open_session(self.core, self.address, threads=self.threads))
        try:
            described = describe_device(session)
            missing = sorted(self._features - described.features) if described is not None else []
            if missing:
                raise DeviceError(
                    f"compiled for a processor with {', '.join(missing)}, which {session.name} lacks: compile it for "
                    "the core that the device has"
                )
            self._machine = RemoteMachine(
                session, self._library, self._weights, self.inputs, self.threads, self._patience_s
            )
        except BaseException:
            self._stack.close()
            raise
        self._stack.callback(self._machine.close)
        return self._machine
