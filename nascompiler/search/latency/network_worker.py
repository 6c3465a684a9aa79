"""A process that compiles architectures and times them whole: `python -m ...network_worker TARGET`.

The lines that it and its parent exchange, each a JSON object:

    worker -> {"ready": true}
    parent -> {"prepare": NAME, "graph": TEXT or "file": PATH.nir, "folder": DIR}
    worker -> {"prepared": NAME, "problem": "" or why it cannot be compiled, "calls": kernel calls}
    parent -> {"measure": [NAME, ...], "rounds": R, "seconds": S, "patience_s": P}
    worker -> {"ns": {NAME: [[ns of each run], ... for each round]}, "disturbed": {NAME: [whether, ... each round]}}
    parent -> {"profile": NAME, "runs": N}
    worker -> {"layers": [[names of nodes, median ns], ...]}
    parent -> {"forget": NAME}

Networks are timed in turns, a round of them under one lease of the machine. Crashes and silence are for the parent to
see.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nascompiler.backends.artifact import Artifact, load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.backends.measure.lease import device_lease
from nascompiler.backends.measure.priority import first_in_line, on_one_cpu
from nascompiler.backends.measure.quiet import Quiet, quiet_runs
from nascompiler.backends.target import Target, parse_target
from nascompiler.bench.protocol import take_stdout
from nascompiler.bench.session import random_arrays
from nascompiler.ir import Error
from nascompiler.ir.files import load
from nascompiler.ir.text import parse
from nascompiler.search.latency.lowering import network_of

FEWEST_RUNS = 3
WARM_RUNS = 2


class NetworkWorker:
    """The compiled networks of one process."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._artifacts: dict[str, Artifact] = {}
        self._quiet = Quiet()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """The reply to a request, if it has one."""
        if "prepare" in request:
            return self._prepare(request)
        if "measure" in request:
            return self._measure(request["measure"], request["rounds"], request["seconds"], request["patience_s"])
        if "profile" in request:
            return self._profile(request["profile"], request["runs"])
        self._artifacts.pop(request["forget"], None)
        return None

    def _prepare(self, request: Mapping[str, Any]) -> dict[str, Any]:
        name = request["prepare"]
        try:
            graph = load(request["file"]) if "file" in request else parse(request["graph"])
            compile_graph(network_of(graph), self._target, Path(request["folder"]), overwrite=True)
            artifact = load_artifact(request["folder"], threads=1)
            artifact.prepare(random_arrays(artifact.manifest, seed=0))
            artifact.step()
        except Error as error:
            return {"prepared": name, "problem": str(error) or type(error).__name__, "calls": 0}
        self._artifacts[name] = artifact
        return {"prepared": name, "problem": "", "calls": len(artifact.manifest.calls)}

    def _measure(self, names: Sequence[str], rounds: int, seconds: float, patience_s: float) -> dict[str, Any]:
        times: dict[str, list[list[float]]] = {name: [] for name in names}
        disturbed: dict[str, list[bool]] = {name: [] for name in names}
        for number in range(rounds):
            at = number % len(names)
            with device_lease(purpose="timing networks"), on_one_cpu(), first_in_line():
                for name in [*names[at:], *names[:at]]:
                    step = self._artifacts[name].step
                    for _ in range(WARM_RUNS):
                        step()
                    taken, without = quiet_runs(
                        step, self._quiet, seconds=seconds, fewest=FEWEST_RUNS, patience_s=patience_s
                    )
                    times[name].append(taken)
                    disturbed[name].append(without)
        return {"ns": times, "disturbed": disturbed}

    def _profile(self, name: str, runs: int) -> dict[str, Any]:
        artifact = self._artifacts[name]
        times: list[list[float]] = []
        with device_lease(purpose="profiling a network"), on_one_cpu(), first_in_line():
            while len(times) < runs:
                if self._quiet.wait(float("inf")):
                    artifact.step()
                    rows, _ = artifact.profile()
                    if self._quiet.now():
                        times.append([row.ns for row in rows])
        medians = np.median(np.array(times), axis=0)
        return {"layers": [[row.name, row.op, float(ns)] for row, ns in zip(rows, medians, strict=True)]}


def main(arguments: Sequence[str]) -> None:
    wire = take_stdout()
    (target,) = arguments
    worker = NetworkWorker(parse_target(target))
    print(json.dumps({"ready": True}), file=wire, flush=True)
    for line in sys.stdin:
        reply = worker.answer(json.loads(line))
        if reply is not None:
            print(json.dumps(reply), file=wire, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
