"""TVM's virtual machine on a device: a library that was sent, with its weights and inputs in the device's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tvm import relax

from nascompiler.backends.tvm_adapter.rpc_session import Session
from nascompiler.ir.types import Array

_MAIN, _STEP = "main", "invoke_stateful"
_BIG_CORES_FIRST = 1
_NS = 1e9

SEND_PATIENCE_S = 300.0
"""For files and weights: some MB over a slow network."""


class RemoteMachine:
    """A program that is loaded on a device. Requests that take longer than `patience_s` are given up."""

    def __init__(
        self,
        session: Session,
        library: Path,
        weights: Sequence[Array],
        inputs: Sequence[Array],
        threads: int,
        patience_s: float,
    ) -> None:
        self._session, self._patience_s = session, patience_s
        session.upload(library, SEND_PATIENCE_S)
        self._module = session.load_module(library.name, SEND_PATIENCE_S)
        configure = session.function("runtime.config_threadpool")
        self._machine = self._ask("starting", lambda: relax.VirtualMachine(self._module, session.device))
        self._ask("setting threads", lambda: configure(_BIG_CORES_FIRST, threads))
        self._weights = [session.array(weight, SEND_PATIENCE_S) for weight in weights]
        self._inputs = [session.array(array, SEND_PATIENCE_S) for array in inputs]

    @property
    def is_lost(self) -> bool:
        """Whether the device has gone."""
        return self._session.is_lost

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        """What the next steps compute with."""
        for place, array in zip(self._inputs, arrays, strict=True):
            self._ask("sending an input", lambda place=place, array=array: place.copyfrom(array))  # type: ignore[misc]
        # the machine takes copies, of the weights too: by RPC there is no other way to hand over arguments
        self._ask("setting inputs", lambda: self._machine.set_input(_MAIN, *self._inputs, *self._weights))

    def step(self) -> None:
        """Compute once."""
        self._ask("a run of the network", lambda: self._machine.invoke_stateful(_MAIN))

    def outputs(self) -> list[Array]:
        """Copies of the results of the last step."""
        found = self._ask("fetching results", lambda: self._machine.get_outputs(_MAIN))
        return [self._ask("fetching a result", result.numpy) for result in found]

    def time_steps(self, repeats: int, least_ms: int) -> list[float]:
        """Times of a step in ns, by the device's clock: each the mean of as many steps as take `least_ms`."""

        def timed() -> Sequence[float]:
            evaluator = self._machine.time_evaluator(
                _STEP, self._session.device, number=1, repeat=repeats, min_repeat_ms=least_ms
            )
            found: Sequence[float] = evaluator(_MAIN).results
            return found

        return [seconds * _NS for seconds in self._ask("timing", timed)]

    def close(self) -> None:
        """Forget what lies on the device while there is a connection to say so."""
        self._weights = self._inputs = []
        self._machine = self._module = None

    def _ask(self, purpose: str, work: Callable[[], Any]) -> Any:
        return self._session.request(purpose, self._patience_s, work)
