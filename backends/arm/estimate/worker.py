"""A process that checks and estimates the variants of kernel calls, as `kernel_worker` checks and times them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from nascompiler.backends.arm.estimate.estimator import Estimate, Estimator
from nascompiler.backends.arm.estimate.job import CodeFailure
from nascompiler.backends.measure.latency import Kind
from nascompiler.backends.store import Outcome
from nascompiler.backends.target import Target
from nascompiler.backends.tvm_adapter.kernel_worker import Prepared, Worker, difference, serve
from nascompiler.ir.graph import Graph

NOISE = 0.02
"""Variants whose estimates differ by less are the same: the model of a core is no better than that."""


class EstimateWorker(Worker):
    """Answers for the calls of one graph with estimates."""

    def __init__(self, graph: Graph, target: Target, wire: TextIO) -> None:
        super().__init__(graph, target, wire)
        self._estimator = Estimator(target)

    def measure(
        self,
        call: str,
        skip: Collection[str],
        seconds: float,
        only: Collection[str] | None = None,
        schedules: Mapping[str, str] | None = None,
    ) -> None:
        """Compile, run and estimate variants of a call; nothing is timed, so `seconds` does not count."""
        prepared = self.prepare(call)
        found: dict[str, Estimate] = {}
        for name, choice in self.wanted(prepared, skip, only, schedules).items():
            with tempfile.TemporaryDirectory(prefix="nascompiler-estimate-") as folder:
                for compiled in self.compiled(prepared, {name: choice}, Path(folder)).values():
                    estimate = self._estimated(prepared, name, compiled, Path(folder))
                    if estimate is not None:
                        found[name] = estimate
        clock = self._estimator.core.clock_hz
        first = next(iter(found.values()), None)
        rows = [
            {
                "variant": name,
                "median_ns": estimate.cycles.total / clock * 1e9,
                "repeats": 1,
                "gain": first.cycles.total / estimate.cycles.total,
                "cycles": {**asdict(estimate.cycles), "events": estimate.events.to_json()},
            }
            for name, estimate in found.items()
            if first is not None
        ]
        self.say(rows=rows, noise=NOISE if rows else 0.0, kind=Kind.ESTIMATED.value)

    def _estimated(self, prepared: Prepared, name: str, compiled: Any, folder: Path) -> Estimate | None:
        """The estimate of a variant that computes what the reference evaluation does."""
        self.say(at="check", variant=name)
        try:
            estimate = self._estimator.estimate(compiled, prepared.memory.inputs, folder)
        except CodeFailure as failure:
            self.failed(name, Outcome.TIME_OUT if failure.timed_out else Outcome.CRASH, str(failure))
            return None
        except Exception as error:
            self.failed(name, Outcome.COMPILE_ERROR, error)
            return None
        problem = difference(estimate.outputs, prepared.expected, prepared.tolerances)
        if problem:
            self.failed(name, Outcome.WRONG_RESULT, problem)
            return None
        return estimate


if __name__ == "__main__":
    serve(EstimateWorker, sys.argv[1:])
