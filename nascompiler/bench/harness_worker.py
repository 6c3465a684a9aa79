"""Serves a side-by-side harness: `nascompiler bench --worker ONNX DIR THREADS DTYPE OUTPUTS`.

Compiles the model (dtype int8: quantised first, calibrated with the images of DIR/calib.npy), writes its answers to the
images of DIR/input.npy, one by one, as float32 (n, features) to OUTPUTS, then speaks the protocol of
`nascompiler.bench.protocol`. Compiling takes a process of its own, so that the one that serves holds the artifact only.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from nascompiler.bench.artifact_worker import ArtifactRunner
from nascompiler.bench.protocol import Runner, serve, take_stdout
from nascompiler.ir import Array
from nascompiler.ir.errors import ModelError, UsageError

DTYPES = ("fp32", "int8")


def main(arguments: Sequence[str]) -> None:
    """Serve until told to quit; a dtype that we cannot serve, or a failure, is answered with `ready: false`."""
    if len(arguments) != 5:
        raise UsageError(f"--worker takes ONNX DIR THREADS DTYPE OUTPUTS, not {len(arguments)} arguments")
    model, folder, threads, dtype, outputs = arguments
    if not threads.isdecimal() or int(threads) < 1:
        raise UsageError(f"threads is {threads!r}; it must be an integer of at least 1")
    wire = take_stdout()
    with tempfile.TemporaryDirectory(prefix="nascompiler-worker-") as scratch:

        def make() -> Runner:
            return _prepare(Path(model), Path(folder), int(threads), dtype, Path(outputs), Path(scratch) / "artifact")

        serve(make, wire)


def _prepare(model: Path, folder: Path, threads: int, dtype: str, outputs: Path, output: Path) -> ArtifactRunner:
    if dtype not in DTYPES:
        raise UsageError(f"dtype {dtype!r} is not served; accepted: {', '.join(DTYPES)}")
    images = _images(folder / "input.npy")
    calibration = _images(folder / "calib.npy") if dtype == "int8" else None
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as compiler:
        name = compiler.submit(_compile, model, images.shape[1:], calibration, output).result()
    runner = ArtifactRunner(output, threads, {name: images[:1]})
    answers = []
    for image in images:
        results = runner.artifact.run({name: np.ascontiguousarray(image[None])})
        answers.append(np.asarray(next(iter(results.values())), np.float32).reshape(-1))
    np.save(outputs, np.stack(answers), allow_pickle=False)
    return runner


def _compile(model: Path, shape: tuple[int, ...], calibration: Array | None, output: Path) -> str:
    """Write the artifact for one image of this shape, and return the name of its input."""
    from nascompiler import api

    try:
        graph = api.load(model)
        if len(graph.inputs) != 1:
            raise ModelError(f"{model} has {len(graph.inputs)} inputs; a harness gives one")
        name = graph.inputs[0].name
        graph = api.load(model, shapes={name: (1, *shape)})
        if calibration is not None:
            graph = api.quantize(graph, calibration=calibration, evaluate=1).graph
        api.compile(graph, "cpu", output)
    except ModelError as error:  # its subclasses do not keep their message on the way to the other process
        raise ModelError(str(error)) from None
    return name


def _images(path: Path) -> Array:
    try:
        images: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    return images


if __name__ == "__main__":
    main(sys.argv[1:])
