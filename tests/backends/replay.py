"""Many small graphs compiled as one program: what lets the differential tests of TVM run in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nascompiler.backends.artifact import Artifact, load_artifact
from nascompiler.backends.compile import compile_graph
from nascompiler.ir import Array, Graph, evaluate
from nascompiler.ir.graph import Value


def merged(graphs: Sequence[Graph]) -> Graph:
    """One graph that holds all; input and output NAME of graph number i is called gi_NAME."""
    whole = Graph("merged")
    outputs: dict[str, Value] = {}
    for number, graph in enumerate(graphs):
        values = {v: whole.add_input(f"g{number}_{v.name}", v.type) for v in graph.inputs}
        for node in graph.nodes:
            operands = [values[v] if v in values else whole.constant(v.constant) for v in node.operands]
            made = whole.insert(node.op, operands, node.attributes)
            values.update(zip(node.results, made.results, strict=True))
        outputs.update({f"g{number}_{n}": values[v] for n, v in zip(graph.output_names, graph.outputs, strict=True)})
    whole.set_outputs(outputs)
    return whole


def run_merged(
    graphs: Sequence[Graph],
    inputs: Sequence[Mapping[str, Array]],
    folder: Path,
    target: str = "cpu",
    pipeline: str = "",
) -> tuple[Artifact, list[dict[str, Array]]]:
    """The artifact of all graphs together, and what each graph makes of its inputs."""
    compile_graph(merged(graphs), target, folder, pipeline=pipeline)
    artifact = load_artifact(folder)
    given = {f"g{i}_{name}": array for i, arrays in enumerate(inputs) for name, array in arrays.items()}
    results = artifact.run(given)
    return artifact, [{name: results[f"g{i}_{name}"] for name in graph.output_names} for i, graph in enumerate(graphs)]


def assert_close(result: Array, expected: Array, what: object, tolerance: float = 1e-5) -> None:
    """Equal in type, shape, infinities and NaN, and within `tolerance` of the largest value (integers: exactly)."""
    assert result.dtype == expected.dtype, what
    assert result.shape == expected.shape, what
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(result, expected, err_msg=str(what))
        return
    wanted, got = expected.astype(np.float64), result.astype(np.float64)
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(got[~finite], wanted[~finite], err_msg=str(what))
    largest = np.abs(wanted[finite]).max(initial=1e-30)
    tolerance = max(tolerance, 2e-3 if expected.dtype == np.float16 else 0)
    error = np.abs(wanted[finite] - got[finite]).max(initial=0) / largest
    assert error <= tolerance, f"{what}: {error:.2e} of the largest value apart"


def assert_like_reference(
    graphs: Sequence[Graph],
    results: Sequence[Mapping[str, Array]],
    inputs: Sequence[Mapping[str, Array]],
    labels: Sequence[object],
) -> None:
    """Each graph's results against its reference evaluation."""
    for graph, result, given, label in zip(graphs, results, inputs, labels, strict=True):
        for name, expected in evaluate(graph, given).items():
            assert_close(result[name], expected, f"{label} {name}")
