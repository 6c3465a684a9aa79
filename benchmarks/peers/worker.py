"""A runtime as a benchmark process: `python -m benchmarks.peers.worker RUNTIME FOLDER THREADS DTYPE OUTPUTS`.

Writes its answers to the images of FOLDER/input.npy, one by one, as float32 [n, 1000] to OUTPUTS, then speaks the
protocol of `nascompiler.bench.protocol`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.runtimes import RUNTIMES, Runtime
from nascompiler.bench.protocol import serve, take_stdout


def main(arguments: list[str]) -> None:
    wire = take_stdout()
    name, folder, threads, dtype, outputs = arguments

    def make() -> Runtime:
        entry = RUNTIMES[name]
        runtime = entry.make(Path(folder) / entry.files[dtype], int(threads))
        answers = []
        for image in np.load(Path(folder) / "input.npy"):
            runtime.put(image[None])
            runtime.step()
            answers.append(np.array(runtime.answer(), np.float32).reshape(-1))
        np.save(outputs, np.stack(answers))
        return runtime

    serve(make, wire)


if __name__ == "__main__":
    main(sys.argv[1:])
