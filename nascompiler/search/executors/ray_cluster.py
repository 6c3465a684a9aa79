"""Trials on a cluster of Ray (arXiv:1712.05889), which finds them a place, and says when a machine is lost.

What travels is text: the recipe of the evaluator and the trial go out as JSON, the outcome comes back as JSON. Nobody
tries again but the search, so no trial can be counted twice: Ray's own retries are off.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from nascompiler.backends.errors import DeviceError
from nascompiler.ir.errors import Error, UsageError
from nascompiler.search.executors.running import run_trial
from nascompiler.search.failures import FailureClass, TrialFailure
from nascompiler.search.interfaces import Evaluator, EvaluatorRecipe
from nascompiler.search.trial import TrialOutcome, TrialSpec

LOCAL = "local"
"""The address that starts a cluster of this machine alone, reachable from nowhere else."""

_LOOPBACK = "127.0.0.1"

_CONNECT_TIMEOUT_S = 10.0


class RayCluster:
    """Runs trials on the cluster at an address: `local`, `auto` (the one running here), or `HOST:PORT`.

    Each takes `cpus` processors and `gpus` graphics cards of a node; `capacity` follows the nodes that come and go.
    Latencies are leased on the machine that measures them. Raises UsageError when ray is not installed, DeviceError
    when there is no cluster at the address; `wait` raises UsageError when a node finds that the recipe cannot be made.
    """

    def __init__(self, recipe: EvaluatorRecipe, address: str = LOCAL, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        self._ray = _import_ray(address)
        self._recipe = json.dumps(asdict(recipe))
        self._cpus, self._gpus = cpus, gpus
        self._running: dict[Any, tuple[int, float]] = {}
        self._own = not self._ray.is_initialized()
        if self._own:
            self._connect(address)
        self._task = self._ray.remote(_evaluate).options(num_cpus=cpus, num_gpus=gpus, max_retries=0)

    def _connect(self, address: str) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
        if address == LOCAL:
            options |= {"include_dashboard": False, "_node_ip_address": _LOOPBACK}
        else:
            options["address"] = address
        try:
            if re.fullmatch(r"[^:/]+:\d+", address):  # ray would try for minutes
                host, port = address.split(":")
                socket.create_connection((host, int(port)), _CONNECT_TIMEOUT_S).close()
            self._ray.init(**options)
        except (ConnectionError, OSError, OverflowError, RuntimeError, ValueError) as error:
            raise DeviceError(f"there is no Ray cluster to be used at {address!r}: {error}") from None

    @property
    def capacity(self) -> int:
        """How many trials fit on the nodes that there are now, one at least."""
        resources: Mapping[str, float] = self._ray.cluster_resources()
        fit = [resources.get("CPU", 0.0) / self._cpus] if self._cpus else []
        fit += [resources.get("GPU", 0.0) / self._gpus] if self._gpus else []
        return max(1, int(min(fit, default=1.0)))

    def submit(self, trial: TrialSpec) -> None:
        """Have a trial run as soon as there is room for it."""
        reference = self._task.remote(self._recipe, json.dumps(trial.to_json()))
        self._running[reference] = trial.number, time.monotonic()

    def wait(self, timeout_s: float | None = None) -> Sequence[TrialOutcome]:
        """Those that have ended since the last call; blocks until there is one, at most `timeout_s`."""
        if not self._running:
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if ended:  # and whatever else has by now
            ended, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [self._outcome(reference) for reference in ended]

    def _outcome(self, reference: Any) -> TrialOutcome:
        number, began = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            answer = json.loads(self._ray.get(reference))
        except errors.OutOfMemoryError as error:
            failure = TrialFailure(FailureClass.OUT_OF_MEMORY, _first_line(error))
        except errors.WorkerCrashedError as error:
            failure = TrialFailure(FailureClass.CRASH, _first_line(error))
        except errors.RayTaskError as error:
            failure = TrialFailure(FailureClass.CRASH, _first_line(error.cause or error))
        except errors.RayError as error:  # its node died, or the result with it
            failure = TrialFailure(FailureClass.DEVICE_LOST, _first_line(error))
        else:
            if "refused" in answer:
                raise UsageError(answer["refused"])
            return TrialOutcome.from_json(answer)
        return TrialOutcome(number, failure, time.monotonic() - began, "ray")

    def close(self) -> None:
        """Give up the trials under way and leave the cluster; one that was started here ends."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._running.clear()
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()


def _evaluate(recipe: str, trial: str) -> str:
    """What a node does with a trial: its outcome, or why there can be no evaluator, as JSON."""
    began = time.monotonic()
    try:
        evaluator = _evaluator(recipe)
    except Error as error:
        return json.dumps({"refused": str(error)})
    spec = TrialSpec.from_json(json.loads(trial))
    result = run_trial(evaluator, spec)
    worker = f"{socket.gethostname()}, process {os.getpid()}"
    return json.dumps(TrialOutcome(spec.number, result, time.monotonic() - began, worker).to_json())


@lru_cache(maxsize=1)
def _evaluator(recipe: str) -> Evaluator:
    """Made once in each process: it may hold a data set."""
    return EvaluatorRecipe(**json.loads(recipe)).build()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


def _import_ray(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is to be sent anywhere
    if address.startswith(("127.", "localhost")):
        # Else ray takes the loopback address for that of the network card, where nobody listens. Only when ray is
        # imported does it look at this variable, whose name says less than what it does.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UsageError("--ray needs the package ray: pip install 'nascompiler[ray]'") from None
    return ray
