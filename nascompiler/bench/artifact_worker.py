"""Our artifact as a benchmark worker: `python -m nascompiler.bench.artifact_worker DIR THREADS INPUTS.npz`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nascompiler import __version__
from nascompiler.backends.measure.latency import LayerTime
from nascompiler.bench.protocol import Runner, serve, take_stdout
from nascompiler.ir import Array

if TYPE_CHECKING:
    from nascompiler.backends.measure.roofline import Probes


class ArtifactRunner:
    """An artifact with its inputs in place."""

    def __init__(self, folder: str | Path, threads: int, inputs: Mapping[str, Array]) -> None:
        from nascompiler.backends.artifact import load_artifact

        self.artifact = load_artifact(folder, threads=threads)
        self.artifact.prepare(inputs)
        self.version = __version__
        self._probes: Probes | None = None
        self.note = f"{self.artifact.manifest.target}, {threads} thread(s)"

    def step(self) -> None:
        self.artifact.step()

    def profile(self, runs: int) -> tuple[Sequence[LayerTime], Sequence[Sequence[float]]]:
        layers: list[LayerTime] = []
        times: list[list[float]] = []
        for _ in range(runs):
            layers, _ = self.artifact.profile()
            times.append([layer.ns for layer in layers])
        return layers, times

    def probe(self) -> Mapping[str, Any]:
        if self._probes is None:
            from nascompiler.backends.measure.roofline import Probes
            from nascompiler.backends.target import parse_target

            self._probes = Probes(parse_target(self.artifact.manifest.target))
        return self._probes.take()


def main(arguments: Sequence[str]) -> None:
    wire = take_stdout()
    folder, threads, inputs = arguments

    def make() -> Runner:
        with np.load(inputs, allow_pickle=False) as arrays:
            given = {key: np.ascontiguousarray(arrays[key]) for key in arrays.files}
        return ArtifactRunner(folder, int(threads), given)

    serve(make, wire)


if __name__ == "__main__":
    main(sys.argv[1:])
