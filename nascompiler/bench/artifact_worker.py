"""Our artifact as a benchmark worker: `python -m nascompiler.bench.artifact_worker DIR THREADS INPUTS.npz`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nascompiler import __version__
from nascompiler.bench.protocol import Layer, Runner, serve, take_stdout
from nascompiler.ir import Array


class ArtifactRunner:
    """An artifact with its inputs in place."""

    def __init__(self, folder: str | Path, threads: int, inputs: Mapping[str, Array]) -> None:
        from nascompiler.backends.artifact import load_artifact

        self.artifact = load_artifact(folder, threads=threads)
        self.artifact.prepare(inputs)
        self.version = __version__
        self.note = f"{self.artifact.manifest.target}, {threads} thread(s)"

    def step(self) -> None:
        self.artifact.step()

    def profile(self, runs: int) -> tuple[Sequence[Layer], Sequence[Sequence[float]]]:
        layers: list[Layer] = []
        times: list[list[float]] = []
        for _ in range(runs):
            rows, _ = self.artifact.profile()
            layers = [(row.name, row.op, row.macs, row.bytes) for row in rows]
            times.append([row.ns for row in rows])
        return layers, times


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
