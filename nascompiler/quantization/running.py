"""Who computes a network over many samples: the reference evaluation, or code compiled for the target."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nascompiler.ir import Array, Error, Graph, evaluate, graph_cost
from nascompiler.quantization.batching import fitting_batch, rebatched, stacked

REFERENCE = "the reference evaluation"

WORTH_COMPILING_S = 30.0
"""Above this estimate for the reference evaluation, a float network is compiled: that takes about as long."""

_NODE_S, _MAC_S = 50e-6, 1.5e-9


@dataclass(frozen=True)
class Runner:
    """Computes the outputs, by name, of samples in order. `by` says who does it."""

    by: str
    run: Callable[[Iterable[Mapping[str, Array]]], Iterator[tuple[int, dict[str, Array]]]]
    """Samples of the graph's own batch -> (number of samples, their outputs joined along the first axis)."""


def estimated_seconds(graph: Graph, samples: int) -> float:
    """What the reference evaluation takes on one core, roughly; the same on every machine, so that choices are."""
    cost = graph_cost(graph)
    return samples * (len(graph) * _NODE_S + (cost.macs or 0) * _MAC_S)


def reference_runner(graph: Graph, samples: int | None = None) -> Runner:
    """The reference evaluation, in batches where the network allows that and there are enough `samples` to gain."""
    size = min(fitting_batch(graph), samples or fitting_batch(graph))
    larger = rebatched(graph, size) if size > 2 else None

    def run(inputs: Iterable[Mapping[str, Array]]) -> Iterator[tuple[int, dict[str, Array]]]:
        for batch in stacked(inputs, size if larger is not None else 1):
            count = len(next(iter(batch.values()))) if larger is not None else 1
            if larger is not None and count == size:
                yield count, evaluate(larger, batch)
                continue
            for number in range(count):  # the last ones do not fill a batch
                single = {k: v[number : number + 1] for k, v in batch.items()} if larger is not None else batch
                yield 1, evaluate(graph, single)

    return Runner(REFERENCE, run)


def compiled_runner(graph: Graph, target: str) -> Runner:
    """The network compiled for a target of this machine; raises an Error where it cannot be compiled or run here."""
    from nascompiler.backends.artifact import load_artifact
    from nascompiler.backends.compile import compile_graph

    scratch = tempfile.TemporaryDirectory(prefix="nascompiler-quantize-")
    folder = Path(scratch.name) / "artifact"
    compile_graph(graph, target, folder)
    artifact = load_artifact(folder)
    scratch.cleanup()  # the code and the weights are mapped

    def run(inputs: Iterable[Mapping[str, Array]]) -> Iterator[tuple[int, dict[str, Array]]]:
        for sample in inputs:
            yield 1, artifact.run(sample)

    return Runner(f"code for {artifact.manifest.target}", run)


def integer_runner(graph: Graph, samples: Sequence[Mapping[str, Array]], count: int, target: str | None) -> Runner:
    """Whatever is quicker on the first of the `samples`, for `count` of them: both give the same integers."""
    reference = reference_runner(graph, count)
    if target is None or not samples or estimated_seconds(graph, count) < WORTH_COMPILING_S:
        return reference
    try:
        compiled = compiled_runner(graph, target)
        list(compiled.run(samples[:1]))  # the first run of code is slower than the others
        times = [_seconds(runner, samples) / len(samples) for runner in (compiled, reference)]
    except Error:
        return reference
    return compiled if times[0] <= times[1] else reference


def _seconds(runner: Runner, samples: Sequence[Mapping[str, Array]]) -> float:
    start = time.perf_counter()
    for _ in runner.run(samples):
        pass
    return time.perf_counter() - start


def float_runner(graph: Graph, samples: int, target: str | None) -> Runner:
    """Code for the target where compiling pays and works, else the reference evaluation."""
    if target is not None and estimated_seconds(graph, samples) > WORTH_COMPILING_S:
        with suppress(
            Error
        ):  # another machine's target, or an op that it lacks: `compile` says so, here answers matter
            return compiled_runner(graph, target)
    return reference_runner(graph, samples)
