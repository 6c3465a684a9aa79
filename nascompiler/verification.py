"""Verifying an artifact: against the reference evaluator and, where it came from ONNX, ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nascompiler.backends.artifact import Artifact
from nascompiler.backends.verify_artifact import DISTINCT, Runner, Verification
from nascompiler.backends.verify_artifact import verify_artifact as compare
from nascompiler.ir import Array, DType, Graph, evaluate
from nascompiler.ir.errors import UsageError
from nascompiler.passes.quantization.quantizer import QUANTIZED
from nascompiler.source import original_model

CANDIDATES_PER_IMAGE = 8
ONNX_RUNTIME = "ONNX Runtime"


def verify(
    artifact: Artifact, *, images: int = 8, seed: int = 0, inputs: Sequence[dict[str, Array]] | None = None
) -> Verification:
    """Compare an artifact with its references on `inputs`, or on so many synthetic images whose results differ.

    ONNX Runtime joins in when it is installed and the ONNX file that the artifact came from is still the same.
    """
    graph = artifact.source_graph()
    references: dict[str, Runner] = {}
    original = None if graph.attributes.get(QUANTIZED) else original_model(graph)  # the float model is another function
    if original is not None and find_spec("onnxruntime") is not None:
        references[ONNX_RUNTIME] = onnx_runtime(original)
    if inputs is None:
        inputs = distinct_images(graph, images, seed, references.get(ONNX_RUNTIME))
    return compare(artifact, inputs, graph, references=references)


def onnx_runtime(model: Path) -> Runner:
    """Runs an ONNX file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(names, dict(arrays)), strict=True))


def distinct_images(graph: Graph, count: int, seed: int, runner: Runner | None = None) -> list[dict[str, Array]]:
    """Synthetic inputs whose first results differ from each other, as far as such are found; the same for a seed.

    A classifier that ends in softmax answers noise with the same class again and again: comparing that shows nothing.
    """
    run = runner or (lambda inputs: evaluate(graph, inputs))
    chosen: list[dict[str, Array]] = []
    results: list[Array] = []
    spare: list[dict[str, Array]] = []
    candidates = synthetic_inputs(graph, seed)
    for _ in range(count * CANDIDATES_PER_IMAGE):
        inputs = next(candidates)
        answer = np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in run(inputs).values()])
        largest = max((float(np.abs(r).max(initial=0)) for r in [*results, answer]), default=0.0)
        if all(np.abs(answer - other).max(initial=0) > 2 * DISTINCT * largest for other in results):
            chosen.append(inputs)
            results.append(answer)
            if len(chosen) == count:
                return chosen
        else:
            spare.append(inputs)
    return (chosen + spare)[:count]


def synthetic_inputs(graph: Graph, seed: int) -> Iterator[dict[str, Array]]:
    """Endless inputs of a graph: noise that is smooth over growing distances, at changing brightness and contrast."""
    number = 0
    while True:
        generator = np.random.default_rng([seed, number])
        smoothness, contrast = number % 4, (0.25, 1.0, 0.5, 2.0)[number // 4 % 4]
        drawn: dict[str, Array] = {}
        for value in graph.inputs:
            shape, dtype = value.type.static_shape, value.type.dtype
            if dtype.is_float or (dtype.is_integer and dtype.bytes <= 2):
                noise = _smoothed(generator.standard_normal(shape), smoothness)
                drawn[value.name] = _as_type(noise * contrast + generator.normal(0, 0.3), dtype)
            else:
                drawn[value.name] = generator.integers(0, 4, shape).astype(dtype.numpy)
        yield drawn
        number += 1


def _as_type(numbers: NDArray[np.float64], dtype: DType) -> Array:
    """Numbers of spread about 1 in a float type, or in an integer type over most of its range."""
    if dtype.is_float:
        return numbers.astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy.name)
    low, high = int(limits.min), int(limits.max)
    return ((numbers / 6 + 0.5) * (high - low) + low).round().clip(low, high).astype(dtype.numpy)


def _smoothed(noise: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """Noise averaged `times` over neighbours at doubling distance along every axis, at unit spread again."""
    smooth = noise
    for step in range(times):
        for axis in range(1, smooth.ndim):
            if smooth.shape[axis] > 4:
                smooth = smooth + np.roll(smooth, 2**step, axis) + np.roll(smooth, -(2**step), axis)
    return smooth / (smooth.std() or 1.0)


def read_images(path: Path, artifact: Artifact) -> list[dict[str, Array]]:
    """Images for the only input of an artifact, from a .npy file whose first axis counts them."""
    if len(artifact.inputs) != 1:
        raise UsageError(f"{path}: images are for models with one input; this one has {len(artifact.inputs)}")
    spec = artifact.inputs[0]
    try:
        images = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
    if images.shape[1:] != spec.shape[1:] or spec.shape[0] != 1:
        raise UsageError(f"{path} holds images {images.shape}; the input {spec.name!r} is {spec.type}")
    return [{spec.name: image[None].astype(spec.type.dtype.numpy)} for image in images]
